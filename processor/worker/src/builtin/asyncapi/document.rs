//! What an AsyncAPI document says: which server, and which channel of it.

use bytes::Bytes;
use reqwest::Url;
use serde_json::{Map, Value};

use super::arguments::Arguments;
use crate::TaskFailure;
use crate::builtin::process::text;
use crate::builtin::resources::Content;
use crate::builtin::yaml;

/// Most references that are followed one after the other.
const REFERENCES_MAX: usize = 16;

/// How messages are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Kafka,
    Http,
}

impl Protocol {
    /// What there is, for people.
    const SUPPORTED: &str = "kafka, http, https";

    fn of(name: &str) -> Option<Self> {
        match name {
            "kafka" => Some(Self::Kafka),
            "http" | "https" => Some(Self::Http),
            _ => None,
        }
    }
}

/// Where messages go to, or come from.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) protocol: Protocol,
    /// As the document has it, variables filled in: `host:port`, or a URL.
    pub(super) server: String,
    /// The topic, or the path.
    pub(super) address: String,
    /// Of HTTP.
    pub(super) method: String,
}

/// An AsyncAPI document.
#[derive(Debug)]
pub(super) struct Document(Value);

impl Content for Document {
    fn read(bytes: Bytes, _: Url) -> Result<Self, TaskFailure> {
        let text = std::str::from_utf8(&bytes).map_err(|_| unusable("it is no text in UTF-8".to_owned()))?;
        let value: Value = match serde_json::from_str(text) {
            Ok(value) => value,
            Err(_) => {
                yaml::parse(text).map_err(|it| unusable(format!("it is neither JSON nor YAML: {it}")))?
            }
        };
        let version = value["asyncapi"].as_str().unwrap_or_default();
        if !(version.starts_with("2.") || version.starts_with("3.")) {
            return Err(unusable(format!("its version is {version:?}, and not one of 2.x or 3.x")));
        }
        Ok(Self(value))
    }
}

impl Document {
    fn is_version_2(&self) -> bool {
        self.0["asyncapi"].as_str().is_some_and(|it| it.starts_with("2."))
    }

    /// Where the messages of a call go to, or come from.
    ///
    /// # Errors
    /// A permanent failure that says what the document has, and what can be spoken.
    pub(super) fn place(&self, arguments: &Arguments) -> Result<Place, TaskFailure> {
        let (name, channel, operation) = self.channel(arguments)?;
        let (protocol, server) = self.server(arguments, channel)?;
        let given = arguments.server.as_ref().map(|it| &it.variables);
        let url = match server["url"].as_str() {
            Some(url) => url.to_owned(),
            None => {
                let host = server["host"].as_str().unwrap_or_default();
                let path = server["pathname"].as_str().unwrap_or_default();
                match protocol {
                    Protocol::Kafka => host.to_owned(),
                    Protocol::Http => {
                        format!("{}://{host}{path}", server["protocol"].as_str().unwrap_or_default())
                    }
                }
            }
        };
        let server = filled(&url, &server["variables"], given)?;
        let topic = match protocol {
            Protocol::Kafka => channel["bindings"]["kafka"]["topic"].as_str(),
            Protocol::Http => None,
        };
        let address =
            topic.or_else(|| channel["address"].as_str()).or_else(|| self.is_version_2().then_some(name));
        let address = address.ok_or_else(|| unusable(format!("its channel {name:?} has no address")))?;
        let address = filled(address, &channel["parameters"], None)?;
        let method = operation.and_then(|it| it["bindings"]["http"]["method"].as_str()).unwrap_or("POST");
        Ok(Place { protocol, server, address, method: method.to_owned() })
    }

    /// The channel, with its name and the operation on it.
    fn channel<'d>(
        &'d self,
        arguments: &Arguments,
    ) -> Result<(&'d str, &'d Value, Option<&'d Value>), TaskFailure> {
        let absent = |what: &str, name: &str, known: Vec<&str>| {
            TaskFailure::configuration(format!("the AsyncAPI document has no {what} {name:?}"))
                .with_detail(format!("it has {}", known.join(", ")))
        };
        if let Some(name) = &arguments.operation {
            if self.is_version_2() {
                let operations = || {
                    entries(&self.0["channels"]).flat_map(|(channel, value)| {
                        let both = ["publish", "subscribe"].into_iter();
                        both.filter_map(move |it| value.get(it)).map(move |it| (channel, value, it))
                    })
                };
                let found = operations().find(|it| it.2["operationId"] == name.as_str());
                let (channel, value, operation) = found.ok_or_else(|| {
                    absent(
                        "operation",
                        name,
                        operations().filter_map(|it| it.2["operationId"].as_str()).collect(),
                    )
                })?;
                return Ok((channel, self.follow(value)?, Some(self.follow(operation)?)));
            }
            let operation = self.0["operations"].get(name).ok_or_else(|| {
                absent("operation", name, entries(&self.0["operations"]).map(|it| it.0).collect())
            })?;
            let operation = self.follow(operation)?;
            let reference = operation["channel"]["$ref"].as_str().unwrap_or_default();
            return Ok((reference, self.follow(&operation["channel"])?, Some(operation)));
        }
        let name = arguments.channel.as_deref().unwrap_or_default();
        let (name, channel) = entries(&self.0["channels"])
            .find(|it| it.0 == name)
            .ok_or_else(|| absent("channel", name, entries(&self.0["channels"]).map(|it| it.0).collect()))?;
        let channel = self.follow(channel)?;
        Ok((name, channel, channel.get("publish")))
    }

    /// The server, by its name, or the first of the channel's that speaks the protocol that is asked for, or one that is known here.
    fn server<'d>(
        &'d self,
        arguments: &Arguments,
        channel: &'d Value,
    ) -> Result<(Protocol, &'d Value), TaskFailure> {
        let mut candidates: Vec<(&str, &Value)> = Vec::new();
        for (name, server) in entries(&self.0["servers"]) {
            // Names in 2.x, references in 3.0; without any, the channel is on all servers.
            let is_on = channel["servers"].as_array().filter(|it| !it.is_empty()).is_none_or(|it| {
                let reference = format!("#/servers/{name}");
                it.iter().any(|it| it == name || it["$ref"] == reference.as_str())
            });
            if is_on {
                candidates.push((name, self.follow(server)?));
            }
        }
        let speaks = |it: &Value| it["protocol"].as_str().unwrap_or_default().to_ascii_lowercase();
        let known = || {
            let all = candidates.iter().map(|(name, it)| format!("{name} ({})", speaks(it)));
            format!("the channel is on {}", all.collect::<Vec<_>>().join(", "))
        };
        let found = candidates.iter().find(|(name, it)| match (&arguments.server, &arguments.protocol) {
            (Some(server), _) => server.name == *name,
            (None, Some(protocol)) => speaks(it) == protocol.to_ascii_lowercase(),
            (None, None) => Protocol::of(&speaks(it)).is_some(),
        });
        let Some((name, server)) = found else {
            let title = match (&arguments.server, &arguments.protocol) {
                (Some(server), _) => format!("the channel is on no server {:?}", server.name),
                (None, Some(protocol)) => format!("the channel is on no server that speaks {protocol}"),
                (None, None) => {
                    format!("the channel is on no server that speaks one of {}", Protocol::SUPPORTED)
                }
            };
            return Err(TaskFailure::configuration(title).with_detail(known()));
        };
        let protocol = Protocol::of(&speaks(server)).ok_or_else(|| {
            let title = format!("the server {name} speaks {}, which this worker does not", speaks(server));
            TaskFailure::configuration(title)
                .with_detail(format!("it speaks {}; let a worker of yours speak others", Protocol::SUPPORTED))
        })?;
        let wants_credentials =
            server.get("security").and_then(Value::as_array).is_some_and(|it| !it.is_empty());
        if wants_credentials && arguments.authentication.is_none() {
            let title = format!("the server {name} wants credentials");
            return Err(TaskFailure::configuration(title).with_detail("say them by `authentication`"));
        }
        Ok((protocol, server))
    }

    /// The value, or what it refers to.
    fn follow<'d>(&'d self, value: &'d Value) -> Result<&'d Value, TaskFailure> {
        let mut value = value;
        for _ in 0..REFERENCES_MAX {
            let Some(reference) = value.get("$ref").and_then(Value::as_str) else { return Ok(value) };
            let pointer = reference.strip_prefix('#').ok_or_else(|| {
                unusable(format!("it refers to {reference:?}; only what is in the document itself is read"))
            })?;
            value = self
                .0
                .pointer(pointer)
                .ok_or_else(|| unusable(format!("it refers to {reference:?}, which it does not have")))?;
        }
        Err(unusable("its references lead in a circle".to_owned()))
    }
}

fn unusable(problem: String) -> TaskFailure {
    TaskFailure::configuration("the AsyncAPI document cannot be used".to_owned()).with_detail(problem)
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

/// The text with each `{name}` replaced: by what is given, or by its default.
fn filled(
    template: &str,
    declared: &Value,
    given: Option<&Map<String, Value>>,
) -> Result<String, TaskFailure> {
    let (mut out, mut rest) = (String::new(), template);
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, tail)) = after.split_once('}') else { break };
        let declared = &declared[name];
        let value = given.and_then(|it| it.get(name)).map(text);
        let value =
            value.or_else(|| declared.get("default").filter(|it| !it.is_null()).map(text)).ok_or_else(
                || TaskFailure::validation(format!("{template:?} has a variable {name:?} without a value")),
            )?;
        if let Some(allowed) = declared["enum"].as_array()
            && !allowed.iter().any(|it| text(it) == value)
        {
            return Err(TaskFailure::validation(format!(
                "{value:?} is none of the values of the variable {name:?}"
            )));
        }
        out.push_str(before);
        out.push_str(&value);
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use expect_test::{Expect, expect};
    use serde::Deserialize as _;
    use serde_json::json;

    use super::*;

    const VERSION_2: &str = "
asyncapi: 2.6.0
servers:
  old: {url: 'mqtt://a.b', protocol: mqtt}
  main: {url: 'kafka://{host}:{port}', protocol: kafka, variables: {host: {default: a.b}, port: {default: 9092, enum: ['9092', 9093]}}}
  web: {url: 'https://a.b/base', protocol: https}
channels:
  orders: {subscribe: {operationId: getOrders}, publish: {operationId: putOrder, bindings: {http: {method: PUT}}}}
  'orders/{kind}': {servers: [main], bindings: {kafka: {topic: orders.new}}, publish: {operationId: newOrder}}
  pipes: {servers: [old], publish: {operationId: pipe}}
";

    const VERSION_3: &str = r##"{
        "asyncapi": "3.0.0",
        "servers": {
            "main": { "host": "a.b:9092", "protocol": "kafka" },
            "web": { "host": "a.b", "pathname": "/base", "protocol": "https" },
            "safe": { "host": "a.b:9093", "protocol": "kafka", "security": [{ "type": "plain" }] }
        },
        "channels": {
            "orders": { "address": "orders.v1", "servers": [{ "$ref": "#/servers/main" }, { "$ref": "#/servers/web" }] },
            "safe": { "address": "safe", "servers": [{ "$ref": "#/servers/safe" }] },
            "alias": { "$ref": "#/channels/orders" },
            "circle": { "$ref": "#/channels/circle" },
            "elsewhere": { "$ref": "other.yaml#/x" },
            "kinds": { "address": "orders.{kind}", "parameters": { "kind": { "default": "new" } } },
            "nowhere": { "address": null }
        },
        "operations": { "putOrder": { "action": "send", "channel": { "$ref": "#/channels/alias" } } }
    }"##;

    fn read(text: &[u8]) -> Result<Document, TaskFailure> {
        Document::read(Bytes::copy_from_slice(text), "https://a.b/".parse().unwrap())
    }

    fn check(document: &str, calls: &[Value], expected: Expect) {
        let document = read(document.as_bytes()).unwrap();
        let said = calls.iter().map(|call| {
            let mut arguments = json!({ "document": { "endpoint": "https://a.b/" } });
            arguments.as_object_mut().unwrap().extend(call.as_object().unwrap().clone());
            match document.place(&Arguments::deserialize(&arguments).unwrap()) {
                Ok(it) => format!("{:?} {} {} {}", it.protocol, it.server, it.address, it.method),
                Err(it) => it.to_string().replace("https://serverlessworkflow.io/spec/1.0.0/errors/", ""),
            }
        });
        expected.assert_eq(&said.collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn a_document_of_version_2_names_channels() {
        check(
            VERSION_2,
            &[
                json!({ "channel": "orders" }),
                json!({ "operation": "putOrder", "protocol": "https" }),
                json!({ "operation": "newOrder", "server": { "name": "main", "variables": { "host": "c.d", "port": 9093 } } }),
                json!({ "operation": "newOrder", "server": { "name": "main", "variables": { "port": "1" } } }),
                json!({ "operation": "newOrder", "server": { "name": "web" } }),
                json!({ "operation": "pipe" }),
                json!({ "operation": "pipe", "server": { "name": "old" } }),
                json!({ "operation": "getOrder" }),
                json!({ "channel": "order" }),
                json!({ "channel": "orders", "protocol": "nats" }),
            ],
            expect![[r#"
                Kafka kafka://a.b:9092 orders PUT
                Http https://a.b/base orders PUT
                Kafka kafka://c.d:9093 orders.new POST
                permanent validation (400): "1" is none of the values of the variable "port"
                permanent configuration (400): the channel is on no server "web": the channel is on main (kafka)
                permanent configuration (400): the channel is on no server that speaks one of kafka, http, https: the channel is on old (mqtt)
                permanent configuration (400): the server old speaks mqtt, which this worker does not: it speaks kafka, http, https; let a worker of yours speak others
                permanent configuration (400): the AsyncAPI document has no operation "getOrder": it has putOrder, getOrders, newOrder, pipe
                permanent configuration (400): the AsyncAPI document has no channel "order": it has orders, orders/{kind}, pipes
                permanent configuration (400): the channel is on no server that speaks nats: the channel is on old (mqtt), main (kafka), web (https)"#]],
        );
    }

    #[test]
    fn a_document_of_version_3_names_operations() {
        check(
            VERSION_3,
            &[
                json!({ "operation": "putOrder" }),
                json!({ "operation": "putOrder", "protocol": "https" }),
                json!({ "operation": "putOrders" }),
                json!({ "channel": "kinds" }),
                json!({ "channel": "nowhere" }),
                json!({ "channel": "circle" }),
                json!({ "channel": "elsewhere" }),
                json!({ "channel": "safe" }),
            ],
            expect![[r#"
                Kafka a.b:9092 orders.v1 POST
                Http https://a.b/base orders.v1 POST
                permanent configuration (400): the AsyncAPI document has no operation "putOrders": it has putOrder
                Kafka a.b:9092 orders.new POST
                permanent configuration (400): the AsyncAPI document cannot be used: its channel "nowhere" has no address
                permanent configuration (400): the AsyncAPI document cannot be used: its references lead in a circle
                permanent configuration (400): the AsyncAPI document cannot be used: it refers to "other.yaml#/x"; only what is in the document itself is read
                permanent configuration (400): the server safe wants credentials: say them by `authentication`"#]],
        );
    }

    #[test]
    fn what_is_no_document_says_why() {
        let problem = |text: &[u8]| read(text).unwrap_err().error.detail.unwrap();
        assert!(problem(b"[").starts_with("it is neither JSON nor YAML"));
        assert_eq!(problem(b"\xff"), "it is no text in UTF-8");
        assert_eq!(problem(b"openapi: 3.0.0"), "its version is \"\", and not one of 2.x or 3.x");
    }
}
