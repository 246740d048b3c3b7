//! Secrets stay out of the records.

use expect_test::expect;

use crate::conversation::check;

#[test]
fn a_call_is_given_texts_that_stand_for_secrets() {
    check(
        "
use: { secrets: [token, db] }
do:
  - a: { call: pay, input: { from: '{ key: $secrets.token, n: .n }' }, with: { key: '${ \"Bearer \" + .key }', n: '${ .n }' } }
  - b: { call: pay, with: { user: '${ $secrets.db.user }', password: '${ $secrets.db.password }', unused: '${ $secrets.token | length > 0 }' } }
",
        "start {\"n\": 1}\ncomplete 1.1 null",
        expect![[r#"
            > start {"n": 1}
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Call pay with {"key":"Bearer <secret 63cbe1e459320dd7>","n":1} secret token input {"key":"<secret 63cbe1e459320dd7>","n":1}
              TaskDispatched 1.1
              => default: 1.1 pay attempt 1 key i#/do/0/a {"key":"Bearer <secret 63cbe1e459320dd7>","n":1}
            > complete 1.1 null
              TaskCompleted 1 -> null
              TaskStarted 2 in 0 /do/1/b Call pay with {"user":"<secret 044c3cd7f43c661c>","password":"<secret 63cbe1e459320dd7>","unused":true} secret db.password secret db.user
              TaskDispatched 2.1
              => default: 2.1 pay attempt 1 key i#/do/1/b {"user":"<secret 044c3cd7f43c661c>","password":"<secret 63cbe1e459320dd7>","unused":true}
        "#]],
    );
}

#[test]
fn what_a_call_gives_may_say_how_it_authenticated() {
    check(
        "
use: { authentications: { shop: { basic: { username: u, password: p } } } }
do:
  - a:
      call: http
      with: { method: get, endpoint: { uri: 'https://a.b', authentication: { use: shop } } }
      output: { as: '[$authorization.scheme, $authorization.parameter]' }
  - b: { set: { none: '${ $authorization }' } }
",
        "start\ncomplete 1.1 null",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Call http with {"method":"get","authentication":{"basic":{"username":"u","password":"p"}},"endpoint":"https://a.b"}
              TaskDispatched 1.1
              => builtin: 1.1 http attempt 1 key i#/do/0/a {"method":"get","authentication":{"basic":{"username":"u","password":"p"}},"endpoint":"https://a.b"}
            > complete 1.1 null
              TaskCompleted 1 -> ["Basic",null]
              TaskRan in 0 /do/1/b -> {"none":null}
              InstanceCompleted {"none":null}
        "#]],
    );
}
