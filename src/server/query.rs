//! Query strings, decoded.

/// The parameters of a query, in order. A name may occur several times, and in any case, as in ASP.NET Core.
#[derive(Debug)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(text: Option<&str>) -> Self {
        Self(form_urlencoded::parse(text.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    /// Every value of a name.
    pub(crate) fn all<'q>(&'q self, name: &'q str) -> impl Iterator<Item = &'q str> {
        self.0.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The first value of a name.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// A client's query as others are told of it: with the `?` in front, and without its token.
#[cfg(feature = "local")]
pub(crate) fn without_token(query: Option<&str>) -> String {
    let is_token = |pair: &&str| Query::parse(Some(pair)).first("access_token").is_some();
    let pairs = query.unwrap_or_default().split('&').filter(|pair| !is_token(pair));
    format!("?{}", pairs.collect::<Vec<_>>().join("&"))
}

#[cfg(all(test, feature = "local"))]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_of_a_token_however_it_is_written() {
        for name in ["access_token", "Access_Token", "access%5Ftoken"] {
            let query = format!("hub=chat&{name}=c2VjcmV0&a=1");
            assert_eq!(Query::parse(Some(&query)).first("access_token"), Some("c2VjcmV0"), "it is one");
            assert_eq!(without_token(Some(&query)), "?hub=chat&a=1", "{name}");
        }
        assert_eq!(without_token(None), "?");
    }
}
