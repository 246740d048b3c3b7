//! The registry's client against a real registry:
//! `SCHEMA_REGISTRY_URL=… cargo test -p millrace-schemas --features registry --test records -- --include-ignored registry::`

use millrace_schemas::codec::{Codec, DecodeError, RecordKind};
use millrace_schemas::registry::{Compatibility, Registry, RegistryError, SubjectNames};

use crate::examples;

fn url() -> String {
    std::env::var("SCHEMA_REGISTRY_URL")
        .expect("SCHEMA_REGISTRY_URL is not set: start a registry with `ops/cluster/cluster up registry`")
}

/// Subjects that no other run uses.
fn subjects(test: &str) -> SubjectNames {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    SubjectNames { prefix: format!("{test}.{}.{}.", std::process::id(), now.as_nanos()) }
}

#[tokio::test]
#[ignore = "needs a schema registry"]
async fn records_are_framed_with_ids_of_the_registry_and_read_by_others() {
    let registry = Registry::new(&url()).unwrap();
    let subjects = subjects("framing");
    let codec = Codec::with_registry(&registry, &subjects).await.unwrap();
    // A second start finds what the first one has registered.
    let again = Codec::with_registry(&registry, &subjects).await.unwrap();
    let stranger = Codec::single_object();
    for ((name, bytes), (_, same)) in examples::encoded(&codec).into_iter().zip(examples::encoded(&again)) {
        assert_eq!(bytes, same);
        assert_eq!(bytes[0], 0, "{name}");
        examples::assert_decodes(&codec, name, &bytes);
        let id = u32::from_be_bytes(bytes[1..5].try_into().unwrap());
        let schema = registry.schema(id).await.unwrap().unwrap();
        assert_eq!(schema.schema_type, "AVRO");
        stranger.learn(id, &schema.text).unwrap();
        examples::assert_decodes(&stranger, name, &bytes);
    }
    // Both framings are read, whichever is written.
    for (name, bytes) in examples::encoded(&stranger) {
        examples::assert_decodes(&codec, name, &bytes);
    }
    let rule = registry.compatibility(&subjects.of(RecordKind::TaskCommand)).await.unwrap();
    assert_eq!(rule, Some(Compatibility::BackwardTransitive));
}

#[tokio::test]
#[ignore = "needs a schema registry"]
async fn an_incompatible_schema_is_refused_with_advice() {
    let registry = Registry::new(&url()).unwrap();
    let subject = subjects("rule").of(RecordKind::TimerFired);
    registry.ensure(&subject, RecordKind::TimerFired.schema_text()).await.unwrap();
    let other = RecordKind::TimerFired.schema_text().replace("\"due\"", "\"when\"");
    let error = registry.register(&subject, &other).await.unwrap_err();
    assert!(matches!(error, RegistryError::Refused { status: 409, .. }), "{error}");
    assert!(error.to_string().contains("use another subject prefix"), "{error}");
}

#[tokio::test]
#[ignore = "needs a schema registry"]
async fn an_id_that_does_not_exist_is_none() {
    let registry = Registry::new(&url()).unwrap();
    assert_eq!(registry.schema(2_000_000_000).await.unwrap(), None);
    let codec = Codec::single_object();
    codec.forget_as_unknown(2_000_000_000);
    let bytes = [&[0][..], &2_000_000_000u32.to_be_bytes()].concat();
    assert!(matches!(codec.decode_task(&bytes), Err(DecodeError::UnusableSchemaId { .. })));
}

#[tokio::test]
#[ignore = "needs a schema registry"]
async fn a_wrong_path_is_told_from_a_missing_schema() {
    let registry = Registry::new(&(url() + "/nothing/here")).unwrap();
    let error = registry.schema(1).await.unwrap_err();
    assert!(matches!(error, RegistryError::NotARegistry { .. }), "{error}");
}

#[tokio::test]
#[ignore = "needs a schema registry"]
async fn a_registry_that_is_down_is_unreachable() {
    let registry = Registry::new("http://user:secret@127.0.0.1:1").unwrap();
    let error = registry.schema(1).await.unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { .. }), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
}
