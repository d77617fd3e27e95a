//! The names of routes, which travel on the bus, and the numbers that they have in this process.

use std::{collections::HashMap, sync::Arc};

use crate::message::{protocol::Kind, routes::Routes};

/// The outgoing routes of the router, and those that a publisher has named.
pub(crate) struct Names {
    routes: Arc<Routes>,
    /// The numbers of the router's routes.
    numbers: HashMap<String, u32>,
    /// Routes that the router does not have, by their numbers.
    named: HashMap<u32, (String, Kind)>,
}

impl Names {
    pub(crate) fn new(routes: Arc<Routes>) -> Self {
        let names = routes.outgoing_names().iter().cloned();
        Self {
            numbers: names.zip(0..).collect(),
            named: HashMap::new(),
            routes,
        }
    }

    /// Gives a route that the router does not have a number.
    pub(crate) fn add(&mut self, number: u32, kind: Kind, name: &[u8]) {
        let name = String::from_utf8_lossy(name).into_owned();
        self.named.insert(number, (name, kind));
    }

    /// The route with a number.
    pub(crate) fn of(&self, number: u32) -> Option<(&str, Kind)> {
        match self.routes.outgoing_names().get(number as usize) {
            Some(name) => Some((name, self.routes.outgoing_kind(number))),
            None => (self.named.get(&number)).map(|(name, kind)| (&**name, *kind)),
        }
    }

    /// The number of one of the router's routes.
    pub(crate) fn number_of(&self, name: &str) -> Option<(u32, Kind)> {
        let number = *self.numbers.get(name)?;
        Some((number, self.routes.outgoing_kind(number)))
    }

    /// Whether the router has outgoing routes.
    pub(crate) fn has_outgoing(&self) -> bool {
        !self.numbers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_of_the_router_come_first_and_a_publisher_names_others() {
        let routes = Routes::new(vec![], vec!["a".into(), "b".into()]);
        let mut names = Names::new(Arc::new(routes));
        names.add(1, Kind::Bytes, b"x");
        names.add(2, Kind::Bytes, b"c");
        assert_eq!(names.of(1), Some(("b", Kind::Json)));
        assert_eq!(names.of(2), Some(("c", Kind::Bytes)));
        assert_eq!(names.of(3), None);
        // What others send comes only to routes of the router.
        assert_eq!(names.number_of("b"), Some((1, Kind::Json)));
        assert_eq!(names.number_of("c"), None);
        assert!(names.has_outgoing());
        assert!(!Names::new(Arc::new(Routes::new(vec![], vec![]))).has_outgoing());
    }
}
