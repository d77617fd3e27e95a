//! stub
#![allow(missing_docs, clippy::all, clippy::pedantic, unused)]
#[derive(Debug)]
pub struct Routes {
    i: Vec<String>,
    o: Vec<Vec<u8>>,
}
impl Routes {
    pub fn new(incoming: Vec<String>, outgoing: Vec<String>) -> Routes {
        Routes {
            i: incoming,
            o: outgoing
                .iter()
                .map(|o| format!("{{\"type\":\"{o}\"").into_bytes())
                .collect(),
        }
    }
    pub fn incoming(&self, name: &str) -> Option<u32> {
        self.i.iter().position(|n| n == name).map(|n| n as u32)
    }
    pub fn prefix(&self, route: u32) -> Option<&[u8]> {
        if route == ERROR_ROUTE {
            Some(b"{\"type\":\"$error\"")
        } else {
            self.o.get(route as usize).map(|v| &v[..])
        }
    }
}
pub const ERROR_ROUTE: u32 = u32::MAX;
