//! Links that keep what a list is filtered by.

/// A path with those parameters that have a value, percent-encoded.
pub fn link(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
        query.append_pair(name, value);
    }
    let query = query.finish();
    if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{query}")
    }
}

#[cfg(test)]
mod tests {
    use super::link;

    #[test]
    fn empty_parameters_are_left_out() {
        assert_eq!(link("/a", &[("q", ""), ("status", "")]), "/a");
        assert_eq!(
            link("/a", &[("q", "x & y"), ("cursor", "b"), ("s", "")]),
            "/a?q=x+%26+y&cursor=b"
        );
    }
}
