//! Where files come from on this machine.

use std::path::PathBuf;

use crate::http::Limits;

/// The hub's own address.
const ENDPOINT: &str = "https://huggingface.co";

/// Where files come from on this machine, and how long servers are waited for: what the environment
/// says, as plain data.
#[derive(Debug, Clone, Default)]
pub struct Origins {
    /// Python interpreter whose pip is asked; `None`: the first on the path that has pip.
    pub python: Option<PathBuf>,
    /// Address of the hub, without a slash at the end.
    pub hub_endpoint: String,
    /// Access token for the hub.
    pub hub_token: Option<String>,
    /// Folder in which other programs keep files of the hub; looked into before the network.
    pub hub_cache: Option<PathBuf>,
    /// A copy of the file that the user has; tried before every other source.
    pub local: Option<PathBuf>,
    /// How long servers are waited for.
    pub limits: Limits,
}

impl Origins {
    /// What the environment says: `WENZHAI_PYTHON`, `HF_ENDPOINT`, `HF_TOKEN` and `HF_HOME`.
    /// pip reads its own configuration, mirrors included; proxies are taken from `HTTPS_PROXY`.
    pub fn from_env() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let text = |name: &str| set(name).and_then(|value| value.into_string().ok());
        let hub = set("HF_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(dirs::home_dir()?.join(".cache").join("huggingface")))
            .map(|home| hf_hub::Cache::new(home.join("hub")));
        Origins {
            python: set("WENZHAI_PYTHON").map(PathBuf::from),
            hub_endpoint: text("HF_ENDPOINT")
                .map(|url| url.trim_end_matches('/').to_owned())
                .unwrap_or_else(|| ENDPOINT.to_owned()),
            hub_token: text("HF_TOKEN")
                .map(|token| token.trim().to_owned())
                .or_else(|| hub.as_ref()?.token()),
            hub_cache: hub.map(|cache| cache.path().clone()),
            local: None,
            limits: Limits::default(),
        }
    }
}
