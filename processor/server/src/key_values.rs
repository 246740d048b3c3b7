//! Lines of `key=value`, from files and from the environment. What is secret belongs there: command lines are in every list of processes.

use std::ffi::OsString;
use std::fmt;

/// Begins the names of variables that are settings of the Kafka client: `MILLRACE_KAFKA_SET_SASL_PASSWORD` is `sasl.password`.
pub(crate) const KAFKA_VARIABLES: &str = "MILLRACE_KAFKA_SET_";

/// KeyValues in their order. `Debug` hides their values.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct KeyValues(Vec<(String, String)>);

impl KeyValues {
    /// Reads a file. What is wrong is told by its line, never by what stands there.
    pub(crate) fn from_file(file: &str) -> Result<Self, String> {
        let text = std::fs::read_to_string(file).map_err(|error| format!("cannot read it: {error}"))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut settings = Vec::new();
        for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line.trim())) {
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            match line.split_once('=').map(|(key, value)| (key.trim(), value.trim())) {
                Some((key, value)) if !key.is_empty() => settings.push((key.to_owned(), value.to_owned())),
                _ => return Err(format!("line {number} is not key=value")),
            }
        }
        Ok(Self(settings))
    }

    /// Those of the Kafka client among the variables of the environment.
    pub(crate) fn from_environment(
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Self, String> {
        let mut settings = Vec::new();
        for (name, value) in variables {
            let Some(key) = name.to_str().and_then(|it| it.strip_prefix(KAFKA_VARIABLES)) else { continue };
            if key.is_empty() {
                return Err(format!(
                    "{KAFKA_VARIABLES} names no setting: write {KAFKA_VARIABLES}SASL_PASSWORD for sasl.password"
                ));
            }
            let value = value
                .into_string()
                .map_err(|_| format!("the value of {KAFKA_VARIABLES}{key} is not UTF-8"))?;
            settings.push((key.to_ascii_lowercase().replace('_', "."), value));
        }
        // The environment has no order, and settings must not depend on one.
        settings.sort();
        Ok(Self(settings))
    }

    /// Without what it holds of this key.
    pub(crate) fn take(&mut self, key: &str) -> Option<String> {
        let index = self.0.iter().rposition(|it| it.0 == key)?;
        let (_, value) = self.0.remove(index);
        self.0.retain(|it| it.0 != key);
        Some(value)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|it| it.0.as_str())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(String, String)> {
        self.0.iter()
    }
}

impl fmt::Debug for KeyValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(settings: &KeyValues) -> Vec<(&str, &str)> {
        settings.0.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
    }

    #[test]
    fn a_file_has_a_setting_in_each_line() {
        let text = "# TLS\nsecurity.protocol = SASL_SSL\r\n\n! and\nsasl.password=a=b #c\nempty=\n";
        let settings = KeyValues::parse(text).expect("is legal");
        assert_eq!(
            pairs(&settings),
            [("security.protocol", "SASL_SSL"), ("sasl.password", "a=b #c"), ("empty", "")]
        );
    }

    #[test]
    fn a_wrong_line_is_told_by_its_number_alone() {
        for text in ["a=1\nhunter2\n", "a=1\n=hunter2"] {
            assert_eq!(KeyValues::parse(text), Err("line 2 is not key=value".to_owned()));
        }
        let error = KeyValues::from_file("/there/is/none").expect_err("is missing");
        assert!(error.starts_with("cannot read it: No such file"), "{error}");
    }

    #[test]
    fn variables_are_settings() {
        let of = |pairs: &[(&str, &str)]| {
            KeyValues::from_environment(pairs.iter().map(|(name, value)| (name.into(), value.into())))
        };
        let settings = of(&[
            ("MILLRACE_KAFKA_SET_SSL_CA_LOCATION", "/ca.crt"),
            ("HOME", "/root"),
            ("MILLRACE_KAFKA_SET_SASL_PASSWORD", "p=w"),
        ]);
        let settings = settings.expect("are legal");
        assert_eq!(pairs(&settings), [("sasl.password", "p=w"), ("ssl.ca.location", "/ca.crt")]);
        assert!(of(&[("MILLRACE_KAFKA_SET_", "x")]).expect_err("no key").contains("names no setting"));
    }

    #[test]
    fn values_are_not_shown() {
        let settings = KeyValues::parse("sasl.password=hunter2").expect("is legal");
        assert_eq!(format!("{settings:?}"), "[\"sasl.password\"]");
    }

    #[test]
    fn the_last_of_a_key_is_taken() {
        let mut settings = KeyValues::parse("user=a\npassword=b\nuser=c").expect("is legal");
        assert_eq!(settings.take("user").as_deref(), Some("c"));
        assert_eq!(settings.take("user"), None);
        assert_eq!(pairs(&settings), [("password", "b")]);
    }
}
