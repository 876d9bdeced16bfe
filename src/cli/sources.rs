//! Inputs as they were typed, turned into sources.

use std::sync::Arc;

use crate::error::Result;
use crate::feed::Source;
use crate::feed::arxiv::Service;

/// The sources that arguments name; whom arXiv's are asked from is found out once, if at all.
pub(super) fn sources(arguments: &[String], contact: Option<&str>) -> Result<Vec<Source>> {
    let mut known: Option<Arc<Service>> = None;
    let mut service = || -> Result<Arc<Service>> {
        if let Some(service) = &known {
            return Ok(Arc::clone(service));
        }
        let service = Service::from_env()?;
        let service = match contact {
            Some(contact) => service.with_contact(contact)?,
            None => service,
        };
        Ok(Arc::clone(known.insert(Arc::new(service))))
    };
    arguments.iter().map(|argument| Source::parse_with(argument, &mut service)).collect()
}
