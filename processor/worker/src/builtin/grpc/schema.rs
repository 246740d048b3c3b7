//! What a `.proto` file says: services, methods, and how JSON becomes a message and back.

use bytes::Bytes;
use prost_reflect::prost::Message as _;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, MethodDescriptor, ServiceDescriptor,
};
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use reqwest::Url;
use serde_json::{Map, Value};

use crate::TaskFailure;
use crate::builtin::http::is_deeper_than;
use crate::builtin::resources::Content;

/// Deepest nesting of an answer: the processor takes answers that are nested 100 deep.
const DEPTH_MAX: usize = 98;

/// How the file is called while it is compiled; it shows in what is wrong with it.
const FILE: &str = "service.proto";

/// A file, compiled.
#[derive(Debug)]
pub(super) struct Schema(pub(super) DescriptorPool);

impl Content for Schema {
    fn read(bytes: Bytes, _: Url) -> Result<Self, TaskFailure> {
        compile(&bytes).map(Self).map_err(|problem| {
            TaskFailure::configuration("the service's proto file cannot be used".to_owned())
                .with_detail(problem)
        })
    }
}

fn compile(content: &[u8]) -> Result<DescriptorPool, String> {
    let source = std::str::from_utf8(content).map_err(|_| "it is no text in UTF-8".to_owned())?;
    let mut files = ChainFileResolver::new();
    files.add(GoogleFileResolver::new());
    files.add(OneFile(source.to_owned()));
    let mut compiler = Compiler::with_file_resolver(files);
    compiler.include_imports(true).open_file(FILE).map_err(|error| {
        let problem = format!("{error:?}").lines().map(str::trim).collect::<Vec<_>>().join(" ");
        if problem.contains("import '") {
            format!(
                "{problem}; only `google/protobuf/….proto` can be imported: put what it needs into one file"
            )
        } else {
            problem
        }
    })?;
    Ok(compiler.descriptor_pool())
}

/// The file itself. Whatever else it imports is not there.
struct OneFile(String);

impl FileResolver for OneFile {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == FILE { File::from_source(name, &self.0) } else { Err(protox::Error::file_not_found(name)) }
    }
}

/// A method that can be called.
#[derive(Clone, Debug)]
pub(super) struct Method(MethodDescriptor);

impl Method {
    /// # Errors
    /// A permanent failure that says what there is.
    pub(super) fn find(Schema(schema): &Schema, service: &str, method: &str) -> Result<Self, TaskFailure> {
        let absent = |what: String, known: Vec<String>| {
            TaskFailure::configuration(format!("the service's proto file has no {what}"))
                .with_detail(format!("it has {}", known.join(", ")))
        };
        let service = find_service(schema, service).ok_or_else(|| {
            let known = schema.services().map(|it| it.full_name().to_owned()).collect();
            absent(format!("service {service:?}"), known)
        })?;
        let found = service.methods().find(|it| it.name() == method).ok_or_else(|| {
            let known = service.methods().map(|it| it.name().to_owned()).collect();
            absent(format!("method {method:?} in {}", service.full_name()), known)
        })?;
        if found.is_client_streaming() {
            let title = format!("{} takes a stream of messages, and a call sends one", found.full_name());
            return Err(TaskFailure::configuration(title)
                .with_detail("call a method that takes one message, or let a worker of yours do it"));
        }
        Ok(Self(found))
    }

    /// As in the path of a request.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.0.parent_service().full_name(), self.0.name())
    }

    /// # Errors
    /// A permanent failure of the type `validation` that says what does not fit.
    pub(super) fn encode(&self, arguments: Map<String, Value>) -> Result<Vec<u8>, TaskFailure> {
        let options = DeserializeOptions::new();
        DynamicMessage::deserialize_with_options(self.0.input(), Value::Object(arguments), &options)
            .map(|it| it.encode_to_vec())
            .map_err(|error| {
                let title = format!("the arguments of {} are no {}", self.name(), self.0.input().full_name());
                TaskFailure::validation(title).with_detail(error.to_string())
            })
    }

    /// The output: a message, or a list of those of a stream.
    ///
    /// # Errors
    /// What is wrong with the messages.
    pub(super) fn decode(&self, messages: &[Bytes]) -> Result<Value, String> {
        let mut values = Vec::new();
        for message in messages {
            let message = DynamicMessage::decode(self.0.output(), message.clone())
                .map_err(|error| format!("the answer is no {}: {error}", self.0.output().full_name()))?;
            let value = serde_json::to_value(&message)
                .map_err(|error| format!("the answer cannot be given as JSON: {error}"))?;
            if is_deeper_than(&value, DEPTH_MAX) {
                return Err(format!("the answer is nested more than {DEPTH_MAX} deep"));
            }
            values.push(value);
        }
        if self.0.is_server_streaming() {
            return Ok(Value::Array(values));
        }
        match (values.pop(), values.len()) {
            (Some(value), 0) => Ok(value),
            (value, others) => {
                Err(format!("the answer has {} messages, and not one", others + usize::from(value.is_some())))
            }
        }
    }
}

/// By its full name, or by its own name if no other service has it.
fn find_service(schema: &DescriptorPool, name: &str) -> Option<ServiceDescriptor> {
    schema.get_service_by_name(name).or_else(|| {
        let mut found = schema.services().filter(|it| it.name() == name);
        found.next().filter(|_| found.next().is_none())
    })
}
