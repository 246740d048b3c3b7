//! Calls by documents: what requests they make, and calls of a real server on this machine.
#![allow(clippy::unwrap_used)]

use std::future::IntoFuture as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use expect_test::{Expect, expect};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::OpenApi;
use super::document::Document;
use super::request::request;
use crate::builtin::{Caller, HttpSettings, Secrets, Targets};
use crate::task::tests::command;
use crate::{Handler as _, Task, TaskFailure};

/// The requests that calls of a document make, as text; why there is none otherwise.
fn check(document: &Value, calls: impl IntoIterator<Item = (&'static str, Value)>, expected: Expect) {
    let url = "https://docs.example/v1/api.json?version=2".parse().unwrap();
    let document = Document::parse(document.to_string().as_bytes(), url).unwrap();
    let told = calls.into_iter().map(|(id, parameters)| {
        let made =
            document.operation(id).and_then(|it| request(&it, parameters.as_object().unwrap().clone()));
        match made {
            Err(failure) => {
                failure.to_string().replace("permanent https://serverlessworkflow.io/spec/1.0.0/errors/", "")
            }
            Ok(request) => {
                let mut lines = vec![format!("{} {}", request.method, request.url)];
                lines.extend(
                    request
                        .headers
                        .iter()
                        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())),
                );
                lines.extend(request.body.map(|it| String::from_utf8(it.to_vec()).unwrap()));
                lines.join("\n")
            }
        }
    });
    expected.assert_eq(&told.collect::<Vec<_>>().join("\n\n"));
}

/// After the pet store that everybody knows.
fn swagger() -> Value {
    json!({
        "swagger": "2.0",
        "host": "petstore.example",
        "basePath": "/v2",
        "schemes": ["http", "https"],
        "consumes": ["application/json"],
        "produces": ["application/xml", "application/json"],
        "parameters": { "trace": { "name": "X-Trace", "in": "header", "type": "string" } },
        "paths": {
            "/pet": {
                "post": {
                    "operationId": "addPet",
                    "parameters": [{ "name": "pet", "in": "body", "required": true, "schema": { "$ref": "#/definitions/Pet" } }],
                },
            },
            "/pet/findByStatus": {
                "get": {
                    "operationId": "findPetsByStatus",
                    "parameters": [
                        { "name": "status", "in": "query", "required": true, "type": "array", "items": { "type": "string" }, "collectionFormat": "multi" },
                        { "name": "limit", "in": "query", "type": "integer", "default": 10 },
                    ],
                },
            },
            "/pet/{petId}": {
                "parameters": [
                    { "name": "petId", "in": "path", "required": true, "type": "integer" },
                    { "$ref": "#/parameters/trace" },
                ],
                "get": { "operationId": "getPetById" },
                "post": {
                    "operationId": "updatePetWithForm",
                    "consumes": ["application/x-www-form-urlencoded"],
                    "parameters": [
                        { "name": "name", "in": "formData", "required": true, "type": "string" },
                        { "name": "status", "in": "formData", "type": "string" },
                    ],
                },
            },
        },
        "definitions": {
            "Pet": {
                "type": "object",
                "required": ["id", "name"],
                "properties": {
                    "id": { "type": "integer", "readOnly": true },
                    "name": { "type": "string" },
                    "status": { "type": "string", "default": "available" },
                    "friend": { "$ref": "#/definitions/Pet" },
                },
            },
        },
    })
}

#[test]
fn swagger_2_is_called() {
    check(
        &swagger(),
        [
            ("findPetsByStatus", json!({ "status": ["available", "sold"] })),
            ("findPetsByStatus", json!({ "status": "available", "limit": 5 })),
            ("findPetsByStatus", json!({ "status": null })),
            ("findPetsByStatus", json!({ "status": "sold", "stauts": "sold" })),
            ("getPetById", json!({ "petId": 7, "X-Trace": "on" })),
            ("getPetById", json!({ "petId": "../../admin" })),
            ("getPetById", json!({ "petId": ".." })),
            ("getPetById", json!({ "petId": "" })),
            ("getPetById", json!({})),
            ("addPet", json!({ "pet": { "name": "Milou" } })),
            ("addPet", json!({ "body": { "name": "Milou" } })),
            ("addPet", json!({ "name": "Milou", "colour": "white" })),
            ("addPet", json!({ "status": "sold" })),
            ("addPet", json!({})),
            ("addPet", json!({ "body": {}, "name": "Milou" })),
            ("updatePetWithForm", json!({ "petId": 7, "name": "Mi & Lou" })),
            ("updatePetWithForm", json!({ "petId": 7, "status": "sold" })),
            ("updatePetWithForm", json!({ "petId": 7, "name": "Milou", "colour": "white" })),
            ("getpetbyid", json!({})),
            ("removePet", json!({})),
        ],
        expect![[r#"
            GET https://petstore.example/v2/pet/findByStatus?status=available&status=sold&limit=10
            accept: application/json, application/xml;q=0.5

            GET https://petstore.example/v2/pet/findByStatus?status=available&limit=5
            accept: application/json, application/xml;q=0.5

            validation (400): the operation `findPetsByStatus` needs the parameter `status`

            validation (400): the operation `findPetsByStatus` has no parameter `stauts`: it takes `status`, `limit`

            GET https://petstore.example/v2/pet/7
            x-trace: on
            accept: application/json, application/xml;q=0.5

            GET https://petstore.example/v2/pet/..%2F..%2Fadmin
            accept: application/json, application/xml;q=0.5

            validation (400): the operation `getPetById`: the parameters make its path /v2/pet/.., with `.` or `..` as a step

            validation (400): the parameter `petId` is a part of the path, and may not be empty

            validation (400): the operation `getPetById` needs the parameter `petId`

            POST https://petstore.example/v2/pet
            accept: application/json, application/xml;q=0.5
            content-type: application/json
            {"name":"Milou"}

            POST https://petstore.example/v2/pet
            accept: application/json, application/xml;q=0.5
            content-type: application/json
            {"name":"Milou"}

            POST https://petstore.example/v2/pet
            accept: application/json, application/xml;q=0.5
            content-type: application/json
            {"name":"Milou","colour":"white","status":"available"}

            validation (400): the operation `addPet` needs the parameter `name`

            validation (400): the operation `addPet` needs the parameter `name`

            validation (400): the operation `addPet`: with the parameter `body`, there is no place for `name`

            POST https://petstore.example/v2/pet/7
            accept: application/json, application/xml;q=0.5
            content-type: application/x-www-form-urlencoded
            name=Mi+%26+Lou

            validation (400): the operation `updatePetWithForm` needs the parameter `name`

            validation (400): the operation `updatePetWithForm` has no parameter `colour`: it takes `name`, `status`

            configuration (400): the document has no operation `getpetbyid`: it has `getPetById`

            configuration (400): the document has no operation `removePet`: it is https://docs.example/v1/api.json"#]],
    );
}

fn openapi() -> Value {
    json!({
        "openapi": "3.1.0",
        "servers": [{ "url": "../{area}/api/", "variables": { "area": { "default": "eu" } } }],
        "paths": {
            "/orders/{id}": {
                "parameters": [{ "name": "id", "in": "path", "schema": { "type": "string" } }],
                "get": {
                    "operationId": "getOrder",
                    "parameters": [
                        { "name": "fields", "in": "query", "explode": false, "schema": { "type": "array" } },
                        { "name": "filter", "in": "query", "style": "deepObject", "schema": { "type": "object" } },
                        { "name": "tags", "in": "query", "style": "pipeDelimited", "explode": false },
                        { "name": "where", "in": "query", "content": { "application/json": {} } },
                        { "name": "X-Count", "in": "header", "required": true, "schema": { "$ref": "#/components/schemas/Count" } },
                        { "name": "Authorization", "in": "header", "required": true },
                        { "name": "session", "in": "cookie" },
                    ],
                    "responses": {
                        "200": { "content": { "text/csv": {}, "application/hal+json": {} } },
                        "404": { "content": { "text/html": {} } },
                        "202": { "$ref": "responses.yaml#/accepted" },
                        "default": { "$ref": "#/components/responses/Problem" },
                    },
                },
                "put": {
                    "operationId": "putOrder",
                    "servers": [{ "url": "https://write.example" }],
                    "requestBody": { "$ref": "#/components/requestBodies/Order" },
                },
                "patch": { "operationId": "patchOrder", "requestBody": { "content": { "application/*": {} } } },
                "delete": { "operationId": "deleteOrder" },
                "trace": { "operationId": "traceOrder" },
            },
            "/{undeclared}/notes{id}": {
                "post": {
                    "operationId": "addNote",
                    "parameters": [{ "name": "id", "in": "path", "style": "matrix", "required": true }],
                    "requestBody": { "required": true, "content": { "text/plain": {} } },
                },
            },
            "/elsewhere": { "$ref": "paths.yaml#/elsewhere" },
            "x-paths": { "$ref": "other.yaml" },
            "/far": { "get": { "operationId": "far", "parameters": [{ "$ref": "other.yaml#/x" }] } },
            "/lost": { "get": { "operationId": "lost", "parameters": [{ "$ref": "#/components/nothing" }] } },
            "/round": { "get": { "operationId": "round", "parameters": [{ "$ref": "#/components/parameters/a" }] } },
            "/odd": { "get": { "operationId": "odd", "parameters": [{ "name": "x", "in": "query", "style": "matrix" }] } },
            "/nowhere": { "get": { "operationId": "nowhere", "servers": [{ "url": "ftp://files.example" }] } },
        },
        "components": {
            "schemas": {
                "Count": { "type": "integer", "default": 3 },
                "Named": { "type": "object", "required": ["name"], "properties": { "name": { "type": "string" } } },
                "Order": {
                    "allOf": [{ "$ref": "#/components/schemas/Named" }, { "properties": { "total": {} } }],
                    "additionalProperties": false,
                },
            },
            "responses": { "Problem": { "content": { "application/problem+json": {}, "text/csv": {} } } },
            "requestBodies": {
                "Order": {
                    "required": true,
                    "content": {
                        "application/xml": {},
                        "application/json; charset=utf-8": { "schema": { "$ref": "#/components/schemas/Order" } },
                    },
                },
            },
            "parameters": { "a": { "$ref": "#/components/parameters/b" }, "b": { "$ref": "#/components/parameters/a" } },
        },
    })
}

#[test]
fn openapi_3_is_called() {
    check(
        &openapi(),
        [
            (
                "getOrder",
                json!({ "id": "a/b", "fields": ["x", "y z"], "filter": { "a": 1, "b": { "c": 2 } }, "tags": ["p", "q"], "where": { "n": [1] }, "session": "s 1" }),
            ),
            ("putOrder", json!({ "id": 1, "name": "x", "total": 5 })),
            ("putOrder", json!({ "id": 1, "name": "x", "totl": 5 })),
            ("putOrder", json!({ "id": 1, "total": 5 })),
            ("putOrder", json!({ "id": 1 })),
            ("patchOrder", json!({ "id": 1 })),
            ("patchOrder", json!({ "id": 1, "any": [1], "thing": null })),
            ("patchOrder", json!({ "id": 1, "body": [1, 2] })),
            ("deleteOrder", json!({ "id": 1, "body": {} })),
            ("traceOrder", json!({ "id": 1 })),
            ("addNote", json!({ "undeclared": "people", "id": 7, "body": "a note" })),
            ("addNote", json!({ "undeclared": "people", "id": 7, "body": { "a": 1 } })),
            ("addNote", json!({ "undeclared": "people", "id": 7, "note": "x" })),
            ("addNote", json!({ "undeclared": "people", "id": 7 })),
            ("addNote", json!({ "id": 7 })),
            ("elsewhere", json!({})),
            ("far", json!({})),
            ("lost", json!({})),
            ("round", json!({})),
            ("odd", json!({})),
            ("nowhere", json!({})),
        ],
        expect![[r##"
            GET https://docs.example/eu/api/orders/a%2Fb?fields=x,y%20z&filter[a]=1&filter[b][c]=2&tags=p%7Cq&where=%7B%22n%22%3A%5B1%5D%7D
            x-count: 3
            cookie: session=s%201
            accept: application/hal+json, application/problem+json;q=0.5, text/csv;q=0.5

            PUT https://write.example/orders/1
            content-type: application/json; charset=utf-8
            {"name":"x","total":5}

            validation (400): the operation `putOrder` has no parameter `totl`: it takes `name`, `total`

            validation (400): the operation `putOrder` needs the parameter `name`

            validation (400): the operation `putOrder` needs the parameter `name`

            PATCH https://docs.example/eu/api/orders/1

            PATCH https://docs.example/eu/api/orders/1
            content-type: application/json
            {"any":[1]}

            PATCH https://docs.example/eu/api/orders/1
            content-type: application/json
            [1,2]

            validation (400): the operation `deleteOrder` has no parameter `body`: it takes `id`

            configuration (400): the document https://docs.example/v1/api.json has an operation by the method TRACE, which is not called

            POST https://docs.example/eu/api/people/notes;id=7
            content-type: text/plain
            a note

            validation (400): a body of the type text/plain must be text: make it by an expression

            validation (400): the operation `addNote` has no parameter `note`: it takes `body`

            validation (400): the operation `addNote` needs the parameter `body`

            validation (400): the operation `addNote` needs the parameter `undeclared`

            configuration (400): the document https://docs.example/v1/api.json refers to "paths.yaml#/elsewhere", outside of it: references to other documents are not followed: bundle them into one

            configuration (400): the document https://docs.example/v1/api.json refers to "other.yaml#/x", outside of it: references to other documents are not followed: bundle them into one

            configuration (400): the document https://docs.example/v1/api.json refers to "#/components/nothing", which is not there

            configuration (400): the document https://docs.example/v1/api.json has references that go in a circle

            configuration (400): the document https://docs.example/v1/api.json has a parameter `x` of an unknown style

            configuration (400): the document https://docs.example/v1/api.json has no server that a call could go to: "ftp://files.example""##]],
    );
}

#[test]
fn what_is_no_document_says_so() {
    let read = |text: &str| Document::parse(text.as_bytes(), "https://a.b/".parse().unwrap());
    for (text, problem) in [
        ("<html>", "the document says of no version of OpenAPI that it is written in"),
        (
            "{ \"swagger\": \"2.0\"",
            "the document is no JSON: EOF while parsing an object at line 1 column 18",
        ),
        ("openapi: 3.2.0", "version 3.2.0 of OpenAPI is not supported: 2.0, 3.0 and 3.1 are"),
        ("swagger: '1.2'", "version 1.2 of OpenAPI is not supported: 2.0, 3.0 and 3.1 are"),
    ] {
        assert_eq!(read(text).unwrap_err(), problem);
    }
    for text in
        ["swagger: '2.0'", "swagger: 2.0", "openapi: 3.0.3", "openapi: 3.1", "{\"openapi\":\"3.1.1\"}"]
    {
        assert!(read(text).is_ok(), "{text}");
    }
}

/// What the server has seen, and how long its document may be kept.
#[derive(Clone, Default)]
struct World {
    seen: Arc<Mutex<Vec<String>>>,
    cache: Arc<Mutex<&'static str>>,
}

impl World {
    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

async fn document(State(world): State<World>, headers: HeaderMap) -> Response {
    let text =
        |name: header::HeaderName| headers.get(name).map_or("none", |it| it.to_str().unwrap()).to_owned();
    let (known, credentials) = (text(header::IF_NONE_MATCH), text(header::AUTHORIZATION));
    world.seen.lock().unwrap().push(format!("document, known {known}, for {credentials}"));
    let cache = *world.cache.lock().unwrap();
    let headers = [(header::ETAG, "\"one\""), (header::CACHE_CONTROL, cache)];
    if known == "\"one\"" {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    let text = "openapi: 3.0.3\nservers: [{url: /api}]\npaths:\n  /echo/{id}:\n    post:\n      operationId: echo\n      requestBody: {content: {application/json: {}}}\n      responses: {200: {content: {application/json: {}}}}\n  /away:\n    get: {operationId: away}\n  /missing:\n    get: {operationId: missing}\n";
    (headers, text).into_response()
}

async fn echo(request: Request) -> impl IntoResponse {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let header = |name: &str| parts.headers.get(name).map(|it| it.to_str().unwrap().to_owned());
    axum::Json(json!({
        "call": format!("{} {}", parts.method, parts.uri),
        "accept": header("accept"),
        "authorization": header("authorization"),
        "key": header("idempotency-key"),
        "body": String::from_utf8_lossy(&body),
    }))
}

async fn server() -> (SocketAddr, World) {
    let world = World::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/api.yaml", get(document))
        .route("/moved", get(async || axum::response::Redirect::temporary("/api.yaml")))
        .route("/large", get(async || format!("openapi: 3.0.0\nx: {}", "x".repeat(3_000))))
        .route("/down", get(async || StatusCode::SERVICE_UNAVAILABLE))
        .route("/nothing", get(async || StatusCode::NO_CONTENT))
        .route("/api/echo/{id}", any(echo))
        .route("/api/away", get(async || axum::response::Redirect::temporary("/api/echo/redirected")))
        .with_state(world.clone());
    tokio::spawn(axum::serve(listener, router).into_future());
    (address, world)
}

fn function() -> OpenApi {
    let settings = HttpSettings {
        targets: Targets::PUBLIC.and_loopback(),
        resource_bytes_max: 2_000,
        secrets: Secrets::none(),
        ..HttpSettings::default()
    };
    OpenApi::new(&Caller::new(settings).unwrap())
}

async fn call(function: &OpenApi, arguments: Value) -> Result<Value, TaskFailure> {
    function.handle(Task::detached(command("openapi", arguments))).await
}

fn arguments(address: SocketAddr, path: &str, more: Value) -> Value {
    let mut arguments = json!({
        "document": { "name": "shop", "endpoint": format!("http://{address}{path}") },
        "operationId": "echo",
        "parameters": { "id": 7, "amount": 5 },
    });
    arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    arguments
}

#[tokio::test]
async fn an_operation_is_called_with_its_own_credentials() {
    let (address, world) = server().await;
    let bearer = |token: &str| json!({ "bearer": { "token": token } });
    let document =
        json!({ "endpoint": format!("http://{address}/moved"), "authentication": bearer("reader") });
    let more = json!({ "document": document, "authentication": bearer("writer"), "output": "response" });
    let output = call(&function(), arguments(address, "", more)).await.unwrap();
    assert_eq!(
        output["content"],
        json!({
            "call": "POST /api/echo/7",
            "accept": "application/json",
            "authorization": "Bearer writer",
            "key": "order-1/do/0/charge",
            "body": "{\"amount\":5}",
        })
    );
    assert!(output["request"]["headers"].get("authorization").is_none());
    assert_eq!(world.seen(), ["document, known none, for Bearer reader"]);
}

#[tokio::test]
async fn output_and_redirects_are_those_of_http() {
    let (address, _) = server().await;
    let function = function();
    let away = |redirect: bool| {
        arguments(
            address,
            "/api.yaml",
            json!({ "operationId": "away", "parameters": {}, "redirect": redirect }),
        )
    };
    assert_eq!(call(&function, away(true)).await.unwrap()["call"], "GET /api/echo/redirected");
    assert_eq!(call(&function, away(false)).await.unwrap_err().error.status, 307);
    let missing = json!({ "operationId": "missing", "parameters": null });
    assert_eq!(
        call(&function, arguments(address, "/api.yaml", missing)).await.unwrap_err().error.status,
        404
    );
    let raw = call(&function, arguments(address, "/api.yaml", json!({ "output": "raw" }))).await.unwrap();
    assert!(raw.as_str().unwrap().starts_with("eyJ"));
}

#[tokio::test]
async fn a_document_is_kept_as_long_as_its_server_says() {
    let (address, world) = server().await;
    let get = "document, known none, for none";
    let again = "document, known \"one\", for none";
    for (cache, seen) in [
        ("max-age=600", [get].as_slice()),
        ("", &[get]),
        ("no-cache", &[get, again, again]),
        ("no-store", &[get, get, get]),
    ] {
        *world.cache.lock().unwrap() = cache;
        let function = function();
        for _ in 0..3 {
            call(&function, arguments(address, "/api.yaml", json!({}))).await.unwrap();
        }
        assert_eq!(world.seen(), seen, "{cache}");
        // Many at once.
        let calls = (0..20).map(|_| call(&function, arguments(address, "/api.yaml?other", json!({}))));
        assert!(futures_util::future::join_all(calls).await.iter().all(Result::is_ok));
        let count = world.seen().len();
        assert_eq!(count, if cache.starts_with("no-") { 20 } else { 1 }, "{cache}");
    }
}

#[tokio::test]
async fn a_document_that_cannot_be_had_is_a_failure_that_may_pass_or_not() {
    let (address, _) = server().await;
    for (path, kind, status, retriable) in [
        ("/down", "communication", 503, true),
        ("/missing", "communication", 404, false),
        ("/nothing", "communication", 502, false),
        ("/large", "communication", 502, false),
        ("/api/echo/1", "configuration", 400, false),
    ] {
        let failure = call(&function(), arguments(address, path, json!({}))).await.unwrap_err();
        assert!(failure.error.error_type.ends_with(kind), "{path}: {failure}");
        assert_eq!((failure.error.status, failure.retriable), (status, retriable), "{path}: {failure}");
    }
    let inside = json!({ "document": { "endpoint": "http://169.254.169.254/api.json" } });
    assert_eq!(call(&function(), arguments(address, "", inside)).await.unwrap_err().error.status, 403);
}
