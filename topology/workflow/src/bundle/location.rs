//! Where something is: at a URL, or in a file.

use std::fmt;

/// Where what a definition refers to can be had.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Location {
    /// `http` or `https`.
    Url(String),
    /// A path: absolute, or relative to the folder of the definition's file.
    File(String),
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(url),
            Self::File(path) => f.write_str(path),
        }
    }
}

impl Location {
    /// What `uri` means. `base` is where the text with the `uri` in it is from; none for the definition itself.
    ///
    /// A path in a function from a URL is beside that function, and never a file of the machine that deploys: whoever publishes a
    /// function does not read here.
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    pub(super) fn of(uri: &str, base: Option<&Self>) -> Result<Self, (String, &'static str)> {
        const FIX: &str = "write an `https://` URI, or a path such as `file://schemas/order.yaml`";
        if uri.contains(['{', '}']) {
            let message =
                format!("`{uri}` is a template, and what `deploy` fetches is fetched once for all instances");
            return Err((message, "write the whole URI"));
        }
        let scheme = uri.split(':').next().unwrap_or_default();
        if is_http(uri) {
            return Ok(Self::Url(raw(uri)));
        }
        let Some(path) = file_path(uri) else {
            return Err((format!("`{scheme}` is no scheme that `deploy` fetches by"), FIX));
        };
        let path = decoded(path).ok_or_else(|| (format!("`{uri}` is no path"), FIX))?;
        match base {
            None => Ok(Self::File(path)),
            Some(Self::File(file)) => Ok(Self::File(beside(file, &path))),
            Some(Self::Url(url)) => {
                if path.starts_with('/') || path.split('/').any(|it| it == "..") {
                    let message = format!("the path `{path}` leads out of the folder of {url}");
                    return Err((message, "a function from a URL can use what is beside it, or `https://`"));
                }
                // A query belongs to the function's own file.
                let url = url.split(['?', '#']).next().unwrap_or_default();
                Ok(Self::Url(beside(url, &encoded(&path))))
            }
        }
    }

    /// `path` below it.
    pub(super) fn below(&self, path: &str) -> Self {
        let join = |it: &str| format!("{}/{path}", it.trim_end_matches('/'));
        match self {
            // Again: the repository's own address has become one with a path.
            Self::Url(url) => Self::Url(raw(&join(url))),
            Self::File(file) => Self::File(join(file)),
        }
    }
}

pub(super) fn is_http(uri: &str) -> bool {
    ["http://", "https://"].iter().any(|it| has_prefix(uri, it))
}

pub(super) fn is_file(uri: &str) -> bool {
    has_prefix(uri, "file:")
}

fn has_prefix(uri: &str, prefix: &str) -> bool {
    uri.get(..prefix.len()).is_some_and(|it| it.eq_ignore_ascii_case(prefix))
}

/// `file://app/x`, which the published examples write, and `file:app/x` are relative; `file:///app/x` is absolute.
fn file_path(uri: &str) -> Option<&str> {
    let rest = is_file(uri).then(|| &uri["file:".len()..])?;
    Some(rest.strip_prefix("//").unwrap_or(rest)).filter(|it| !it.is_empty())
}

pub(super) fn beside(file: &str, path: &str) -> String {
    match file.rsplit_once('/') {
        Some((folder, _)) if !path.starts_with('/') => format!("{folder}/{path}"),
        _ => path.to_owned(),
    }
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok().filter(|it| !it.contains('\0'))
}

fn encoded(path: &str) -> String {
    let unreserved = |it: u8| it.is_ascii_alphanumeric() || b"-._~/".contains(&it);
    path.bytes()
        .map(|it| if unreserved(it) { char::from(it).to_string() } else { format!("%{it:02X}") })
        .collect()
}

/// The file itself, where a URL names the page that shows it: GitHub's `blob` and `tree`, GitLab's `-/blob` and `-/tree`. A repository
/// of GitHub without a branch is its default branch.
fn raw(url: &str) -> String {
    const RAW: &str = "https://raw.githubusercontent.com";
    for page in ["/-/tree/", "/-/blob/"] {
        if let Some((before, after)) = url.split_once(page) {
            return format!("{before}/-/raw/{after}");
        }
    }
    let Some(path) =
        ["https://github.com/", "https://www.github.com/"].iter().find_map(|it| url.strip_prefix(it))
    else {
        return url.to_owned();
    };
    let parts: Vec<&str> = path.trim_end_matches('/').splitn(5, '/').collect();
    match parts[..] {
        [owner, repository, "tree" | "blob", reference, rest] => {
            format!("{RAW}/{owner}/{repository}/{reference}/{rest}")
        }
        // The root of a branch, or of the repository: `below` comes next.
        [_, _, "tree" | "blob", _] | [_, _] | [_] | [] => url.to_owned(),
        [_, _, "raw" | "releases" | "archive", ..] => url.to_owned(),
        [owner, repository, ..] => {
            let rest = path.splitn(3, '/').nth(2).unwrap_or_default();
            format!("{RAW}/{owner}/{}/HEAD/{rest}", repository.trim_end_matches(".git"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_that_show_a_file_become_the_file() {
        for (page, file) in [
            (
                "https://github.com/o/r/tree/main",
                "https://raw.githubusercontent.com/o/r/main/functions/f.yaml",
            ),
            (
                "https://github.com/o/r/tree/v1/lib/",
                "https://raw.githubusercontent.com/o/r/v1/lib/functions/f.yaml",
            ),
            ("https://github.com/o/r", "https://raw.githubusercontent.com/o/r/HEAD/functions/f.yaml"),
            ("https://github.com/o/r.git", "https://raw.githubusercontent.com/o/r/HEAD/functions/f.yaml"),
            (
                "https://gitlab.example/o/r/-/tree/main",
                "https://gitlab.example/o/r/-/raw/main/functions/f.yaml",
            ),
            ("https://shop.example/c/", "https://shop.example/c/functions/f.yaml"),
        ] {
            let catalog = Location::of(page, None).map(|it| it.below("functions/f.yaml"));
            assert_eq!(catalog, Ok(Location::Url(file.to_owned())), "{page}");
        }
        let shown = Location::of("https://github.com/o/r/blob/main/a/f.yaml", None);
        assert_eq!(
            shown,
            Ok(Location::Url("https://raw.githubusercontent.com/o/r/main/a/f.yaml".to_owned()))
        );
    }

    #[test]
    fn paths_are_beside_the_text_that_names_them() {
        let file = |it: &str| Ok(Location::File(it.to_owned()));
        assert_eq!(Location::of("file://app/greet.proto", None), file("app/greet.proto"));
        assert_eq!(Location::of("file:app/my%20own.proto", None), file("app/my own.proto"));
        assert_eq!(Location::of("file:///app/greet.proto", None), file("/app/greet.proto"));
        let base = Location::File("functions/greet/function.yaml".to_owned());
        assert_eq!(Location::of("file://main.py", Some(&base)), file("functions/greet/main.py"));
        assert_eq!(Location::of("file:///main.py", Some(&base)), file("/main.py"));
        let base = Location::Url("https://a.b/functions/greet/function.yaml?x=/1".to_owned());
        let beside = Location::Url("https://a.b/functions/greet/my%20main.py".to_owned());
        assert_eq!(Location::of("file://my main.py", Some(&base)), Ok(beside));
    }

    #[test]
    fn a_function_from_a_url_names_no_file_of_this_machine() {
        let base = Location::Url("https://a.b/f/function.yaml".to_owned());
        for uri in ["file:///etc/passwd", "file://../other", "file://a/%2e%2e/b", "file:/etc/passwd"] {
            assert!(Location::of(uri, Some(&base)).is_err(), "{uri}");
        }
    }

    #[test]
    fn what_cannot_be_fetched_is_said() {
        for uri in ["ftp://a.b/c", "https://a.b/{c}", "file://", "file://%zz", "file://%00"] {
            assert!(Location::of(uri, None).is_err(), "{uri}");
        }
    }
}
