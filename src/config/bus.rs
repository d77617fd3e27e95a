//! Which bus a server has, and how it gets there.

use std::{fmt, sync::Arc};

/// The bus of a server.
#[derive(Debug, Clone)]
pub struct BusConfig {
    /// What the names of all its channels begin with.
    pub prefix: String,
    /// Bytes of the longest publication. A longer one stays in this process.
    pub max_message: usize,
    /// Whether the process serves nobody, and has no clients that others could ask about.
    pub is_publisher: bool,
    /// What carries the messages.
    pub transport: Transport,
}

/// What carries the messages of a bus.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Transport {
    /// Redis or Valkey.
    #[cfg(feature = "redis")]
    Redis(Redis),
    /// NATS: servers of one cluster, or a single one.
    #[cfg(feature = "nats")]
    Nats(Arc<[Place]>),
}

/// How a Redis is run.
#[cfg(feature = "redis")]
#[derive(Debug, Clone)]
pub enum Redis {
    /// One server.
    Single(Place),
    /// A server that sentinels watch, and replace when it fails.
    Sentinel(Sentinels),
    /// A cluster, by some of its nodes.
    Cluster(Vec<Place>),
}

/// The sentinels of a server. Their debug form has no secret.
#[cfg(feature = "redis")]
#[derive(Clone)]
pub struct Sentinels {
    /// Where they are, and who we are to them.
    pub places: Vec<Place>,
    /// What they call the server.
    pub name: String,
    /// The user at the server.
    pub username: Option<String>,
    /// The password at the server.
    pub password: Option<String>,
}

/// Where a server of a bus is, and who we are there. Its debug form has no secret.
#[derive(Clone)]
pub struct Place {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What TLS needs, if the server speaks it.
    pub tls: Option<Arc<BusTls>>,
    /// The user.
    pub username: Option<String>,
    /// The password.
    pub password: Option<String>,
}

/// What TLS to a bus needs, as PEM.
#[derive(Default)]
pub struct BusTls {
    /// Certificates of the authorities that are believed; `None` for those of the system.
    pub ca: Option<Vec<u8>>,
    /// The own certificate and its key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(feature = "redis")]
            Self::Redis(Redis::Single(place)) => write!(f, "{place}"),
            #[cfg(feature = "redis")]
            Self::Redis(Redis::Sentinel(sentinels)) => write!(f, "{sentinels:?}"),
            #[cfg(feature = "redis")]
            Self::Redis(Redis::Cluster(places)) => write_all(f, places),
            #[cfg(feature = "nats")]
            Self::Nats(places) => write_all(f, places),
        }
    }
}

#[cfg(feature = "redis")]
impl fmt::Debug for Sentinels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of the sentinels ", self.name.escape_debug())?;
        write_all(f, &self.places)
    }
}

#[cfg(any(feature = "nats", feature = "redis"))]
fn write_all(f: &mut fmt::Formatter<'_>, places: &[Place]) -> fmt::Result {
    for (index, place) in places.iter().enumerate() {
        let between = if index == 0 { "" } else { ", " };
        write!(f, "{between}{place}")?;
    }
    Ok(())
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = if self.tls.is_some() { " with TLS" } else { "" };
        write!(f, "{self}{tls}")
    }
}

#[cfg(all(test, feature = "redis"))]
mod tests {
    use super::*;

    #[test]
    fn no_form_of_a_place_has_a_secret() {
        let tls = BusTls {
            ca: None,
            identity: Some((b"cert".to_vec(), b"private".to_vec())),
        };
        let place = Place {
            host: "::1".into(),
            port: 6379,
            tls: Some(Arc::new(tls)),
            username: Some("private".into()),
            password: Some("private".into()),
        };
        assert_eq!(place.to_string(), "[::1]:6379");
        assert_eq!(format!("{place:?}"), "[::1]:6379 with TLS");
        let sentinels = Sentinels {
            places: vec![place.clone(), place.clone()],
            name: "main".into(),
            username: Some("private".into()),
            password: Some("private".into()),
        };
        let both = "[::1]:6379, [::1]:6379";
        for (redis, shown) in [
            (Redis::Single(place.clone()), "[::1]:6379".to_owned()),
            (Redis::Cluster(vec![place.clone(), place]), both.to_owned()),
            (
                Redis::Sentinel(sentinels),
                format!("main of the sentinels {both}"),
            ),
        ] {
            assert!(!format!("{redis:?}").contains("private"));
            assert_eq!(Transport::Redis(redis).to_string(), shown);
        }
    }
}
