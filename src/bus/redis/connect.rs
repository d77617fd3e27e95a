//! Opens connections, and learns what kind of server answers.

use std::collections::HashMap;

use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, FromRedisValue as _,
    IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo, RedisResult, TlsCertificates, Value,
    aio::MultiplexedConnection,
};

use crate::{bus::redis::pushes::PushSender, config::bus::Place};

/// Opens a connection that hands over what the server pushes.
pub(super) async fn open(
    place: &Place,
    prefix: &str,
    pushes: PushSender,
) -> RedisResult<MultiplexedConnection> {
    let config = config().set_push_sender(pushes.callback(prefix.to_owned()));
    let client = client(place, ProtocolVersion::RESP3)?;
    (client.get_multiplexed_async_connection_with_config(&config)).await
}

/// Opens a connection for questions.
pub(super) async fn open_plain(place: &Place) -> RedisResult<MultiplexedConnection> {
    let client = client(place, ProtocolVersion::RESP2)?;
    (client.get_multiplexed_async_connection_with_config(&config())).await
}

/// Time limits are those of the caller.
fn config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
}

fn client(place: &Place, protocol: ProtocolVersion) -> RedisResult<Client> {
    let mut who = RedisConnectionInfo::default()
        .set_protocol(protocol)
        .set_lib_name("zocket", env!("CARGO_PKG_VERSION"));
    if let Some(username) = &place.username {
        who = who.set_username(username);
    }
    if let Some(password) = &place.password {
        who = who.set_password(password);
    }
    let (host, port) = (place.host.clone(), place.port);
    let Some(tls) = &place.tls else {
        let info = ConnectionAddr::Tcp(host, port).into_connection_info()?;
        return Client::open(info.set_redis_settings(who));
    };
    let address = ConnectionAddr::TcpTls {
        host,
        port,
        insecure: false,
        tls_params: None,
    };
    let info = address.into_connection_info()?.set_redis_settings(who);
    let client_tls = tls.identity.as_ref().map(|(cert, key)| ClientTlsConfig {
        client_cert: cert.clone(),
        client_key: key.clone(),
    });
    let root_cert = tls.ca.clone();
    Client::build_with_tls(
        info,
        TlsCertificates {
            client_tls,
            root_cert,
        },
    )
}

/// What a server says of itself.
pub(super) struct Hello {
    /// `standalone`, `sentinel` or `cluster`.
    pub(super) mode: String,
    /// `master` or `replica`.
    pub(super) role: String,
    /// Such as 7.0.15, of Redis or of Valkey.
    pub(super) version: String,
}

impl Hello {
    /// The first number of the version.
    pub(super) fn major(&self) -> u32 {
        let first = self.version.split('.').next();
        first.and_then(|it| it.parse().ok()).unwrap_or_default()
    }
}

/// Asks a server what it is. Every user may ask that.
pub(super) async fn hello(connection: &mut MultiplexedConnection) -> RedisResult<Hello> {
    let answer: Value = redis::cmd("HELLO").query_async(connection).await?;
    let mut fields = HashMap::<String, Value>::from_redis_value(answer)?;
    let mut field = |name| {
        let value = fields.remove(name).unwrap_or(Value::Nil);
        String::from_redis_value(value).unwrap_or_default()
    };
    Ok(Hello {
        mode: field("mode"),
        role: field("role"),
        version: field("version"),
    })
}
