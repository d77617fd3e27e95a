//! stub
#![allow(missing_docs, clippy::all, clippy::pedantic, unused)]
use serde_json::value::RawValue;
use std::borrow::Cow;
pub struct Envelope<'a> {
    pub kind: Cow<'a, str>,
    pub payload: Option<&'a str>,
}
#[derive(Debug, thiserror::Error)]
pub enum BadEnvelope {
    #[error("utf8")]
    Utf8,
    #[error("json")]
    Json,
}
#[derive(serde::Deserialize)]
struct E<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
}
pub fn parse(text: &str) -> Result<Envelope<'_>, BadEnvelope> {
    if !text.starts_with('{') {
        return Err(BadEnvelope::Json);
    }
    let null = text.contains("null}");
    let e: E = serde_json::from_str(text).map_err(|_| BadEnvelope::Json)?;
    Ok(Envelope {
        kind: e.kind,
        payload: e
            .payload
            .map(|p| p.get())
            .or(if null { Some("null") } else { None }),
    })
}
pub fn encode_frame(out: &mut Vec<u8>, prefix: &[u8], payload: Option<&[u8]>) -> usize {
    let start = out.len();
    let len = prefix.len() + payload.map_or(0, |p| p.len() + 11) + 1;
    out.push(0x81);
    if len < 126 {
        out.push(len as u8)
    } else if len < 65536 {
        out.push(126);
        out.extend_from_slice(&(len as u16).to_be_bytes())
    } else {
        out.push(127);
        out.extend_from_slice(&(len as u64).to_be_bytes())
    }
    out.extend_from_slice(prefix);
    if let Some(p) = payload {
        out.extend_from_slice(b",\"payload\":");
        out.extend_from_slice(p)
    }
    out.push(b'}');
    out.len() - start
}
pub fn error_payload(code: &str, route: Option<&str>, message: &str) -> Vec<u8> {
    serde_json::to_vec(&serde_json::json!({"code":code,"route":route,"message":message})).unwrap()
}
pub fn push_json_string(out: &mut Vec<u8>, s: &str) {
    serde_json::to_writer(out, s).unwrap()
}
