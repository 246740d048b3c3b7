//! Which secrets an expression names. Nobody but the worker that does a call has secrets, so an expression is given a text that stands
//! for each one it names; for that they must be known beforehand.

const VARIABLE: &str = "$secrets";

/// The secrets that `code` names, each as its name and the properties in it: `$secrets.db.password` is `[db, password]`. One that is
/// empty names none: `$secrets` alone, or followed by something computed.
pub(crate) fn secrets(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(VARIABLE) {
        let mut rest = &code[at + VARIABLE.len()..];
        if rest.starts_with(|it: char| it.is_ascii_alphanumeric() || it == '_') {
            continue;
        }
        let mut path = Vec::new();
        while let Some((key, after)) = key(rest) {
            path.push(key.to_owned());
            rest = after;
        }
        found.push(path);
    }
    found
}

/// The key that `rest` begins with, and what comes after it: `.name`, `."any text"`, `["any text"]`, `.["any text"]`.
fn key(rest: &str) -> Option<(&str, &str)> {
    let undotted = rest.strip_prefix('.');
    let inner = undotted.unwrap_or(rest);
    if let Some(quoted) = inner.strip_prefix("[\"") {
        return quoted.split_once("\"]").filter(|(key, _)| is_plain(key));
    }
    let inner = undotted?;
    if let Some(quoted) = inner.strip_prefix('"') {
        return quoted.split_once('"').filter(|(key, _)| is_plain(key));
    }
    let end = inner.find(|it: char| !it.is_ascii_alphanumeric() && it != '_').unwrap_or(inner.len());
    let is_name = inner.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_');
    is_name.then(|| inner.split_at(end))
}

fn is_plain(key: &str) -> bool {
    !key.contains(['\\', '"'])
}

#[cfg(test)]
mod tests {
    use super::secrets;

    #[test]
    fn secrets_are_found_by_their_paths() {
        let found = |code| secrets(code).iter().map(|it| it.join("/")).collect::<Vec<_>>();
        assert_eq!(found("\"Bearer \" + $secrets.token"), ["token"]);
        assert_eq!(
            found("$secrets.db.user + $secrets[\"my-db\"].\"pass word\""),
            ["db/user", "my-db/pass word"]
        );
        assert_eq!(found("{a: $secrets.a, b: ($secrets | keys)}"), ["a", ""]);
        assert_eq!(found("$secrets[.name]"), [""]);
        assert!(found("$secretsauce.x").is_empty());
    }
}
