//! Which upstream is told of which events.

use std::fmt;

use crate::{
    core::url::{HubUrl, encode_data},
    local::error::LocalError,
};

/// What begins a reference to a secret in Azure Key Vault, in lower case.
const KEY_VAULT: &str = "{@microsoft.keyvault(";

/// An upstream of a local service, and the events that it is told. Of several rules the first that matches an event is
/// followed; an event that no rule matches is not told to anybody.
///
/// A pattern is `*`, a name, or several names between commas. Hub names have no case; the names of categories and events
/// do, as in the emulator. Without further calls a rule matches everything.
///
/// ```
/// use hubwire::local::{LocalService, UpstreamRule};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), hubwire::local::LocalError> {
/// let local = LocalService::builder()
///     .upstream_rule(
///         UpstreamRule::new("http://localhost:5000/{hub}/connected")?
///             .hubs("chat, news")
///             .categories("connections")
///             .events("connected")
///             .managed_identity("api://my-upstream"),
///     )
///     .upstream_rule(UpstreamRule::new("http://localhost:7071/runtime/webhooks/signalr")?)
///     .start()
///     .await?;
/// # local.stop().await;
/// # Ok(())
/// # }
/// ```
///
/// Source: [Upstream endpoints](https://learn.microsoft.com/azure/azure-signalr/concept-upstream).
#[derive(Clone, PartialEq, Eq)]
#[must_use = "a rule has to be given to the service"]
pub struct UpstreamRule {
    /// With `{hub}`, `{category}` and `{event}` in it.
    template: String,
    hubs: Pattern,
    categories: Pattern,
    events: Pattern,
    resource: Option<String>,
}

impl UpstreamRule {
    /// Everything is told at this URL, in which `{hub}`, `{category}` and `{event}` may stand.
    ///
    /// # Errors
    /// [`LocalError::InvalidUpstream`] when it is not an absolute http or https URL, and
    /// [`LocalError::KeyVaultReference`] when it has a reference to Azure Key Vault in it.
    pub fn new(url: impl Into<String>) -> Result<Self, LocalError> {
        let template = url.into();
        if template.to_ascii_lowercase().contains(KEY_VAULT) {
            return Err(LocalError::KeyVaultReference);
        }
        let [hubs, categories, events] = [const { Pattern::Any }; 3];
        let rule = Self { template, hubs, categories, events, resource: None };
        HubUrl::parse(&rule.url("hub", "messages", "event")).map_err(|_| LocalError::InvalidUpstream)?;
        Ok(rule)
    }

    /// Which hubs it is for.
    pub fn hubs(self, pattern: &str) -> Self {
        Self { hubs: Pattern::new(&pattern.to_ascii_lowercase()), ..self }
    }

    /// Which categories it is for: `connections` has the events `connected` and `disconnected`; in `messages` an event has
    /// the name of the hub method.
    pub fn categories(self, pattern: &str) -> Self {
        Self { categories: Pattern::new(pattern), ..self }
    }

    /// Which events it is for.
    pub fn events(self, pattern: &str) -> Self {
        Self { events: Pattern::new(pattern), ..self }
    }

    /// Sends a token of the service's managed identity along, as the header `Authorization`. The resource becomes its
    /// audience. [`LocalServiceBuilder::service_identity`](crate::local::LocalServiceBuilder::service_identity) says who
    /// that identity is.
    pub fn managed_identity(self, resource: impl Into<String>) -> Self {
        Self { resource: Some(resource.into()), ..self }
    }

    /// For the dashboard, without the query: it may have a secret in it, such as the key of a function.
    #[cfg(feature = "dashboard")]
    pub(super) fn described(&self) -> crate::dashboard::contract::Upstream {
        let [hubs, categories, events] = [&self.hubs, &self.categories, &self.events].map(Pattern::to_text);
        crate::dashboard::contract::Upstream { url: self.public_url().to_owned(), hubs, categories, events }
    }

    fn public_url(&self) -> &str {
        public(&self.template)
    }

    pub(super) fn has_identity(&self) -> bool {
        self.resource.is_some()
    }

    /// Where an event goes by this rule, if it matches. The hub is in lower case.
    pub(super) fn target(&self, hub: &str, category: &str, event: &str) -> Option<Target> {
        let matches =
            self.hubs.matches(hub) && self.categories.matches(category) && self.events.matches(event);
        matches.then(|| Target { url: self.url(hub, category, event), resource: self.resource.clone() })
    }

    /// A name that is put in has no braces any more, so nothing is replaced twice.
    fn url(&self, hub: &str, category: &str, event: &str) -> String {
        self.template
            .replace("{hub}", &encode_data(hub))
            .replace("{category}", &encode_data(category))
            .replace("{event}", &encode_data(event))
    }
}

impl fmt::Debug for UpstreamRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { template: _, hubs, categories, events, resource } = self;
        f.debug_struct("UpstreamRule")
            .field("url", &self.public_url())
            .field("hubs", hubs)
            .field("categories", categories)
            .field("events", events)
            .field("resource", resource)
            .finish()
    }
}

/// An address without what may be a secret: its query, and a user with a password.
pub(super) fn public(url: &str) -> &str {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    url.rsplit_once('@').map_or(url, |(_, public)| public)
}

/// Where an event goes.
pub(super) struct Target {
    pub(super) url: String,
    /// The audience of the token that goes along.
    pub(super) resource: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Any,
    OneOf(Vec<String>),
}

impl Pattern {
    fn new(text: &str) -> Self {
        let names: Vec<_> = text.split(',').map(|name| name.trim().to_owned()).collect();
        if names.iter().any(|name| name == "*") { Self::Any } else { Self::OneOf(names) }
    }

    #[cfg(feature = "dashboard")]
    fn to_text(&self) -> String {
        match self {
            Self::Any => "*".to_owned(),
            Self::OneOf(names) => names.join(", "),
        }
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(names) => names.iter().any(|known| known == name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> UpstreamRule {
        UpstreamRule::new("http://h/{hub}/{category}/{event}?again={hub}").expect("a URL")
    }

    #[test]
    fn patterns_are_those_of_the_emulator() {
        for (pattern, matching, other) in [
            ("*", vec!["a", "B", ""], vec![]),
            (" * ", vec!["a"], vec![]),
            ("x,*", vec!["a"], vec![]),
            ("a", vec!["a"], vec!["b", "ab", "A", ""]),
            ("a, b ,c", vec!["a", "b", "c"], vec!["a, b ,c", "d", " b", ""]),
            ("a*", vec!["a*"], vec!["ab"]),
            ("", vec![""], vec!["a"]),
        ] {
            let rules = [rule().events(pattern), rule().categories(pattern)];
            let matches = |name: &str| {
                [rules[0].target("chat", "c", name).is_some(), rules[1].target("chat", name, "e").is_some()]
            };
            matching.iter().for_each(|name| assert_eq!(matches(name), [true; 2], "{pattern} {name}"));
            other.iter().for_each(|name| assert_eq!(matches(name), [false; 2], "{pattern} {name}"));
        }
        assert!(rule().hubs("News, Chat").target("chat", "c", "e").is_some());
        assert!(rule().hubs("News").target("chat", "c", "e").is_none());
        let all = rule().hubs("chat").categories("messages").events("Add");
        assert!(all.target("chat", "messages", "Add").is_some());
        for (hub, category, event) in
            [("news", "messages", "Add"), ("chat", "connections", "Add"), ("chat", "messages", "add")]
        {
            assert!(all.target(hub, category, event).is_none(), "{hub} {category} {event}");
        }
    }

    #[test]
    fn names_are_escaped_and_not_replaced_again() {
        let url = |hub, category, event| rule().target(hub, category, event).expect("it matches").url;
        assert_eq!(
            url("chat", "messages", "a b/ü?&"),
            "http://h/chat/messages/a%20b%2F%C3%BC%3F%26?again=chat"
        );
        assert_eq!(url("{event}", "c", "{hub}"), "http://h/%7Bevent%7D/c/%7Bhub%7D?again=%7Bevent%7D");
    }

    #[test]
    fn urls_are_checked() {
        for url in ["nonsense", "ftp://a", "", "/relative/{hub}", "{hub}"] {
            assert!(matches!(UpstreamRule::new(url), Err(LocalError::InvalidUpstream)), "{url}");
        }
        assert!(UpstreamRule::new("https://{hub}.example.com:8443/").is_ok());
        for url in ["http://h/?code={@Microsoft.KeyVault(SecretUri=https://v)}", "{@microsoft.keyvault(x)}"] {
            assert!(matches!(UpstreamRule::new(url), Err(LocalError::KeyVaultReference)), "{url}");
        }
    }

    #[test]
    fn secrets_of_the_url_do_not_show() {
        let rule = UpstreamRule::new("http://user:pass@h/path?code=hush").expect("a URL").hubs("chat");
        let shown = format!("{rule:?}");
        assert!(shown.contains("h/path") && shown.contains("chat"), "{shown}");
        assert!(!shown.contains("hush") && !shown.contains("pass@"), "{shown}");
    }
}
