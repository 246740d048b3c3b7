//! Did you mean?

/// The candidate that `word` is most likely meant to be: one or two letters away.
pub(super) fn suggest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    const DISTANCE_MAX: usize = 2;
    // Long words are no typos of anything, and comparing them costs their product.
    const LENGTH_MAX: usize = 64;
    if word.len() > LENGTH_MAX {
        return None;
    }
    candidates
        .into_iter()
        .filter(|it| it.len() <= LENGTH_MAX)
        .map(|it| (distance(word, it), it))
        .filter(|(distance, it)| *distance <= DISTANCE_MAX && *distance < it.chars().count())
        .min()
        .map(|(_, it)| it)
}

/// As the end of a message: the suggestion, or everything there is.
pub(super) fn hint(word: &str, candidates: &[&str]) -> String {
    match suggest(word, candidates.iter().copied()) {
        Some(it) => format!("did you mean `{it}`?"),
        None if candidates.is_empty() => "remove it".to_owned(),
        None => format!(
            "use one of {}",
            candidates.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ")
        ),
    }
}

/// Levenshtein's distance, ASCII case aside.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().map(|it| it.to_ascii_lowercase()).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().map(|it| it.to_ascii_lowercase()).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_suggested() {
        assert_eq!(suggest("swich", ["switch", "set"]), Some("switch"));
        assert_eq!(suggest("Emit", ["emit", "wait"]), Some("emit"));
        assert_eq!(suggest("transition", ["switch", "set"]), None);
        assert_eq!(suggest("x", ["do"]), None);
    }
}
