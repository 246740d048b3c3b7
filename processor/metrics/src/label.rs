//! Labels: what tells the series of a metric apart. Each says how many values it can have.

/// A label.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    /// As it stands in a query.
    pub name: &'static str,
    pub(crate) values: Values,
}

/// Which values a label has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Values {
    /// These; their series are there from the start, with 0, so that the first increase is one.
    Known(&'static [&'static str]),
    /// As the text says; the code that counts sees to it.
    Bounded(&'static str),
}

impl Label {
    /// With these values and no others.
    #[must_use]
    pub const fn known(name: &'static str, values: &'static [&'static str]) -> Self {
        Self { name, values: Values::Known(values) }
    }

    /// With values that are not known beforehand; `bound` says, for people, why they are few.
    #[must_use]
    pub const fn bounded(name: &'static str, bound: &'static str) -> Self {
        Self { name, values: Values::Bounded(bound) }
    }

    /// For people.
    #[must_use]
    pub fn bound(&self) -> String {
        match self.values {
            Values::Known(values) => values.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", "),
            Values::Bounded(bound) => bound.to_owned(),
        }
    }
}

/// All combinations of the values, if all are known.
pub(crate) fn combinations(labels: &[Label]) -> Vec<Vec<&'static str>> {
    labels.iter().fold(vec![Vec::new()], |combinations, label| {
        let Values::Known(values) = label.values else { return Vec::new() };
        let with = |combination: &Vec<&'static str>| {
            let combination = combination.clone();
            values.iter().map(move |it| [combination.clone(), vec![*it]].concat()).collect::<Vec<_>>()
        };
        combinations.iter().flat_map(with).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_combinations_of_known_values() {
        let labels = [Label::known("a", &["1", "2"]), Label::known("b", &["x", "y"])];
        assert_eq!(combinations(&labels), [["1", "x"], ["1", "y"], ["2", "x"], ["2", "y"]]);
    }

    #[test]
    fn none_where_a_value_is_not_known() {
        let labels = [Label::known("a", &["1"]), Label::bounded("b", "few")];
        assert!(combinations(&labels).is_empty());
    }
}
