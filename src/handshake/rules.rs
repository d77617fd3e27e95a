//! What the owner demands of an upgrade request: the path, and the origins.

use super::{
    authority::Authority,
    proxy::TrustProxy,
    refusal::{Reason, Refusal},
    target::Target,
};

/// Who may connect from a browser.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// Everybody, but of a request from another site only the fields are left that hold nothing of the visitor.
    #[default]
    Any,
    /// Exactly these origins, and requests that have none.
    List(Vec<String>),
    /// The owner looks at [`UpgradeRequest::origin`](super::request::UpgradeRequest::origin).
    Owner,
}

/// Whose page an upgrade request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Site {
    /// The server's own, one that the rules let in, or no page at all.
    Own,
    /// Another one: what a browser or a proxy adds for the visitor is not for it.
    Other,
}

/// What the owner's configuration demands of an upgrade request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// The only path to serve, the query aside; `None` serves every path.
    pub path: Option<String>,
    /// Who may connect from a browser.
    pub origins: AllowedOrigins,
    /// Subprotocols that the owner speaks, the preferred one first; each is
    /// [one it may speak](super::subprotocol::is_subprotocol).
    pub protocols: Vec<String>,
    /// Which proxies in front are believed.
    pub trust_proxy: TrustProxy,
    /// Names, in lower case, that come from header fields alone: a client cannot name them in another way.
    pub trusted_headers: Vec<String>,
    /// The path where `GET` and `HEAD` ask for the health of the server; `None` answers no such question.
    pub health: Option<String>,
}

impl Rules {
    /// Whether this path is served.
    pub(super) fn check_path(&self, path: &str) -> Result<(), Refusal> {
        match &self.path {
            Some(only) if only != path => Err(Refusal::new(404, Reason::Path)),
            _ => Ok(()),
        }
    }

    /// Whether a request that does not upgrade asks for the health of the server.
    pub(super) fn is_probe(&self, method: &str, url: &str) -> bool {
        let path = || Target::parse(url).map(|target| target.path);
        matches!(method, "GET" | "HEAD")
            && self.health.is_some()
            && path() == self.health.as_deref()
    }

    /// Whose page a request of this origin comes from; `host` is where it goes to.
    pub(super) fn site(&self, origin: Option<&String>, host: &Authority) -> Result<Site, Refusal> {
        match (&self.origins, origin) {
            (AllowedOrigins::List(allowed), Some(origin)) if !allowed.contains(origin) => {
                Err(Refusal::new(403, Reason::Origin))
            }
            // Browsers send credentials along with any page's request, and proxies add what they know of the visitor.
            (AllowedOrigins::Any, Some(origin)) if !host.is_host_of(origin) => Ok(Site::Other),
            _ => Ok(Site::Own),
        }
    }
}
