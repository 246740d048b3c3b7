//! A broker, and a client that sends what it is told.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, RequestHeader, RequestKind, ResponseHeader, ResponseKind,
};
use kafka_protocol::protocol::{Decodable as _, Encodable as _, StrBytes};
use millrace_dev_broker::{Config, DevBroker};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Nothing here takes longer, on a busy machine either.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A broker in a folder that goes with it.
pub(crate) struct Served {
    pub(crate) broker: DevBroker,
    _folder: tempfile::TempDir,
}

pub(crate) async fn broker() -> Served {
    broker_with(|_| {}).await
}

pub(crate) async fn broker_with(set: impl FnOnce(&mut Config)) -> Served {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::new(folder.path());
    set(&mut config);
    Served { broker: DevBroker::start(config).await.unwrap(), _folder: folder }
}

impl Served {
    pub(crate) async fn connect(&self) -> Client {
        Client::to(&self.broker.bootstrap()).await
    }

    /// Fails unless somebody who comes now is served.
    pub(crate) async fn serves(&self) {
        let versions = timeout(PATIENCE, async { self.connect().await.api_versions().await }).await;
        assert_eq!(versions.expect("it serves in time").error_code, 0);
    }
}

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    correlation_id: i32,
}

impl Client {
    pub(crate) async fn to(address: &str) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), correlation_id: 0 }
    }

    /// A whole request, without its length.
    pub(crate) fn frame(&mut self, api: ApiKey, version: i16, body: &[u8]) -> Vec<u8> {
        self.correlation_id += 1;
        let header = RequestHeader::default()
            .with_request_api_key(api as i16)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation_id)
            .with_client_id(Some(StrBytes::from_static_str("test")));
        let mut frame = BytesMut::new();
        header.encode(&mut frame, api.request_header_version(version)).unwrap();
        frame.extend_from_slice(body);
        frame.to_vec()
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// With its length before it.
    pub(crate) async fn send_frame(&mut self, frame: &[u8]) {
        let length = u32::try_from(frame.len()).unwrap();
        self.send(&[&length.to_be_bytes(), frame].concat()).await;
    }

    /// The next answer, without its length.
    pub(crate) async fn answer(&mut self) -> Bytes {
        self.try_answer().await.expect("an answer comes")
    }

    async fn try_answer(&mut self) -> std::io::Result<Bytes> {
        let read = async {
            let mut answer = vec![0; self.stream.read_u32().await? as usize];
            self.stream.read_exact(&mut answer).await?;
            Ok(answer.into())
        };
        timeout(PATIENCE, read).await.expect("an answer comes in time")
    }

    /// The answer to the last request, of which nothing may be left over. `None` when the broker has hung up.
    async fn read(&mut self, api: ApiKey, version: i16) -> Option<ResponseKind> {
        let mut answer = self.try_answer().await.ok()?;
        let header = ResponseHeader::decode(&mut answer, api.response_header_version(version)).unwrap();
        assert_eq!(header.correlation_id, self.correlation_id);
        let response = ResponseKind::decode(api, &mut answer, version)
            .unwrap_or_else(|error| panic!("the answer of {api:?}, version {version}: {error:?}"));
        assert!(answer.is_empty(), "{} bytes are left of {api:?}, version {version}", answer.len());
        Some(response)
    }

    pub(crate) async fn call(&mut self, request: &RequestKind, api: ApiKey, version: i16) -> ResponseKind {
        let answer = self.try_call(request, api, version).await;
        answer.unwrap_or_else(|| panic!("{api:?}, version {version}: the broker has hung up"))
    }

    /// `None` when the broker hangs up.
    pub(crate) async fn try_call(
        &mut self,
        request: &RequestKind,
        api: ApiKey,
        version: i16,
    ) -> Option<ResponseKind> {
        let mut body = BytesMut::new();
        request
            .encode(&mut body, version)
            .unwrap_or_else(|error| panic!("the request {api:?}, version {version}: {error:?}"));
        let frame = self.frame(api, version, &body);
        self.send_frame(&frame).await;
        self.read(api, version).await
    }

    pub(crate) async fn api_versions(&mut self) -> ApiVersionsResponse {
        let request = RequestKind::ApiVersions(ApiVersionsRequest::default());
        match self.call(&request, ApiKey::ApiVersions, 0).await {
            ResponseKind::ApiVersions(versions) => versions,
            other => panic!("not the versions: {other:?}"),
        }
    }

    /// Waits until the broker hangs up, without a word.
    pub(crate) async fn is_closed(&mut self) {
        let read = timeout(PATIENCE, self.stream.read(&mut [0; 64])).await.expect("it hangs up in time");
        // Bytes that were not read make a reset of it.
        assert!(matches!(read, Ok(0) | Err(_)), "not an end: {read:?}");
    }
}
