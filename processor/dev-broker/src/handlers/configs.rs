//! `DescribeConfigs`, `AlterConfigs`, `IncrementalAlterConfigs` (KIP-339): of topics. The broker's own settings are those of the
//! program that it is part of, so they are shown and not changed.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, alter_configs_response,
    describe_configs_request, incremental_alter_configs_request, incremental_alter_configs_response,
};

use crate::broker::{Broker, Control, Identity, storage_error};
use crate::topics::{Change, SETTINGS, Setting, Settings, refuse_settings};
use crate::wire::text;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// Where a value comes from, as the protocol has it.
const SOURCE_TOPIC: i8 = 1;
const SOURCE_STATIC_BROKER: i8 = 4;
const SOURCE_DEFAULT: i8 = 5;

type Refusal = (ResponseError, String);

/// A setting with its value.
#[derive(Debug)]
pub(super) struct Shown<'a> {
    pub(super) setting: &'static Setting,
    pub(super) value: &'a str,
    pub(super) source: i8,
}

/// All settings of a topic.
pub(super) fn of_topic(settings: &Settings) -> impl Iterator<Item = Shown<'_>> {
    SETTINGS.iter().map(|setting| match settings.get(setting.name) {
        Some(value) => Shown { setting, value, source: SOURCE_TOPIC },
        None => Shown { setting, value: setting.default, source: SOURCE_DEFAULT },
    })
}

pub(super) fn describe(broker: &Broker, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let (synonyms, documentation) = (request.include_synonyms, request.include_documentation);
    let results = request.resources.into_iter().map(|resource| {
        let described = match resource.resource_type {
            TOPIC => describe_topic(broker, &resource, synonyms, documentation),
            BROKER => describe_broker(broker, &resource),
            _ => Err(unsupported()),
        };
        let result = DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name);
        match described {
            Ok(configs) => result.with_configs(configs),
            Err((error, reason)) => {
                result.with_error_code(error.code()).with_error_message(Some(text(reason)))
            }
        }
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

fn describe_topic(
    broker: &Broker,
    resource: &describe_configs_request::DescribeConfigsResource,
    synonyms: bool,
    documentation: bool,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let topic =
        broker.topics().get(&resource.resource_name).ok_or_else(|| no_topic(&resource.resource_name))?;
    let is_asked = |name: &str| match &resource.configuration_keys {
        Some(keys) => keys.iter().any(|it| **it == *name),
        None => true,
    };
    let described = of_topic(&topic.settings).filter(|it| is_asked(it.setting.name)).map(|shown| {
        let Shown { setting, value, source } = shown;
        let mut result = DescribeConfigsResourceResult::default()
            .with_name(text(setting.name))
            .with_value(Some(text(value)))
            .with_config_source(source)
            .with_config_type(setting.kind as i8);
        if synonyms {
            let synonym = DescribeConfigsSynonym::default().with_name(text(setting.name)).with_source(source);
            result = result.with_synonyms(vec![synonym.with_value(Some(text(value)))]);
        }
        if documentation {
            result = result.with_documentation(Some(text(setting.help)));
        }
        result
    });
    Ok(described.collect())
}

fn describe_broker(
    broker: &Broker,
    resource: &describe_configs_request::DescribeConfigsResource,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    if !resource.resource_name.is_empty() && *resource.resource_name != *Identity::NODE.to_string() {
        let reason = format!("broker {} is the only one", Identity::NODE);
        return Err((ResponseError::InvalidRequest, reason));
    }
    let config = broker.config();
    let settings = [
        ("auto.create.topics.enable", config.auto_create_topics.to_string()),
        ("default.replication.factor", "1".to_owned()),
        ("log.dirs", config.folder.display().to_string()),
        ("max.connections", config.connections_max.to_string()),
        ("num.partitions", config.default_partitions.to_string()),
        ("socket.request.max.bytes", config.request_bytes_max.to_string()),
    ];
    let described = settings.into_iter().map(|(name, value)| {
        DescribeConfigsResourceResult::default()
            .with_name(text(name))
            .with_value(Some(text(value)))
            .with_read_only(true)
            .with_config_source(SOURCE_STATIC_BROKER)
    });
    Ok(described.collect())
}

/// Replaces all settings of a topic at once.
pub(super) fn alter(broker: &Broker, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let mut control = broker.control();
    let responses = request.resources.into_iter().map(|resource| {
        let altered = match resource.resource_type {
            TOPIC => {
                let settings = resource.configs.iter().filter_map(|it| {
                    let value = it.value.as_ref()?;
                    Some((it.name.to_string(), value.to_string()))
                });
                let settings = settings.collect();
                configure(broker, &mut control, &resource.resource_name, settings, request.validate_only)
            }
            _ => Err(unsupported()),
        };
        let (code, reason) = coded(altered);
        alter_configs_response::AlterConfigsResourceResponse::default()
            .with_error_code(code)
            .with_error_message(reason.map(text))
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name)
    });
    AlterConfigsResponse::default().with_responses(responses.collect())
}

pub(super) fn alter_incrementally(
    broker: &Broker,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let mut control = broker.control();
    let responses = request.resources.into_iter().map(|resource| {
        let altered = match resource.resource_type {
            TOPIC => increment(broker, &resource).and_then(|settings| {
                configure(broker, &mut control, &resource.resource_name, settings, request.validate_only)
            }),
            _ => Err(unsupported()),
        };
        let (code, reason) = coded(altered);
        incremental_alter_configs_response::AlterConfigsResourceResponse::default()
            .with_error_code(code)
            .with_error_message(reason.map(text))
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name)
    });
    IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
}

/// The settings after these operations.
fn increment(
    broker: &Broker,
    resource: &incremental_alter_configs_request::AlterConfigsResource,
) -> Result<Settings, Refusal> {
    const SET: i8 = 0;
    const DELETE: i8 = 1;
    const APPEND: i8 = 2;
    const SUBTRACT: i8 = 3;
    let topic =
        broker.topics().get(&resource.resource_name).ok_or_else(|| no_topic(&resource.resource_name))?;
    let mut settings = (*topic.settings).clone();
    for config in &resource.configs {
        let name = config.name.to_string();
        let value = config.value.as_deref().unwrap_or_default();
        let list = Setting::named(&name).filter(|it| it.is_list());
        match (config.config_operation, list) {
            (SET, _) => {
                settings.insert(name, value.to_owned());
            }
            (DELETE, _) => {
                settings.remove(&name);
            }
            (operation @ (APPEND | SUBTRACT), Some(setting)) => {
                let before = settings.get(&name).map_or(setting.default, String::as_str);
                let mut values: Vec<&str> = before.split(',').filter(|it| !it.is_empty()).collect();
                for value in value.split(',') {
                    match operation {
                        APPEND if !values.contains(&value) => values.push(value),
                        SUBTRACT => values.retain(|it| *it != value),
                        _ => {}
                    }
                }
                let values = values.join(",");
                settings.insert(name, values);
            }
            (APPEND | SUBTRACT, None) => {
                return Err((ResponseError::InvalidConfig, format!("{name} is no list")));
            }
            (operation, _) => {
                return Err((ResponseError::InvalidRequest, format!("there is no operation {operation}")));
            }
        }
    }
    Ok(settings)
}

fn configure(
    broker: &Broker,
    control: &mut Control,
    topic: &str,
    settings: Settings,
    validate_only: bool,
) -> Result<(), Refusal> {
    if broker.topics().get(topic).is_none() {
        return Err(no_topic(topic));
    }
    if let Some(reason) = refuse_settings(&settings) {
        return Err((ResponseError::InvalidConfig, reason));
    }
    if validate_only {
        return Ok(());
    }
    broker
        .change_topics(control, Change::Configured { name: topic.to_owned(), settings })
        .map_err(|error| (storage_error(&error), "the broker could not write to its disk".to_owned()))
}

fn no_topic(name: &str) -> Refusal {
    (ResponseError::UnknownTopicOrPartition, format!("there is no topic {name}"))
}

fn unsupported() -> Refusal {
    let reason = "only the settings of topics can be changed here; those of the broker can be looked at";
    (ResponseError::InvalidRequest, reason.to_owned())
}

fn coded(result: Result<(), Refusal>) -> (i16, Option<String>) {
    match result {
        Ok(()) => (0, None),
        Err((error, reason)) => (error.code(), Some(reason)),
    }
}
