//! Image configurations (image-spec, config.md): read for what is asked of them, and made.

use std::collections::BTreeMap;

use oci_spec::image::{ConfigBuilder, HistoryBuilder, ImageConfigurationBuilder, RootFsBuilder};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::layer::Layer;
use super::platform::Platform;
use crate::base::{self, Digest, Epoch};

/// The parts of a configuration that this crate asks for, read leniently: Docker and others leave
/// out what the specification demands, or write `null`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct ConfigFile {
    /// `amd64` …
    pub architecture: Option<String>,
    /// `linux` …
    pub os: Option<String>,
    /// `v8` …
    pub variant: Option<String>,
    /// RFC 3339.
    pub created: Option<String>,
    /// How a container starts.
    pub config: Option<ContainerConfig>,
    rootfs: Option<RootFs>,
}

/// The part named `config`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerConfig {
    /// The program.
    pub entrypoint: Option<Vec<String>>,
    /// Its arguments.
    pub cmd: Option<Vec<String>>,
    /// Labels.
    pub labels: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Clone, Deserialize)]
struct RootFs {
    diff_ids: Option<Vec<Digest>>,
}

impl ConfigFile {
    /// Digests of the uncompressed layers, the lowest first.
    pub fn diff_ids(&self) -> Vec<Digest> {
        self.rootfs.as_ref().and_then(|rootfs| rootfs.diff_ids.clone()).unwrap_or_default()
    }

    /// The platform, where the configuration names one.
    pub fn platform(&self) -> Option<Platform> {
        let architecture = self.architecture.as_deref().filter(|name| !name.is_empty())?;
        Some(Platform {
            os: self.os.clone().unwrap_or_else(|| "linux".to_owned()),
            variant: self.variant.clone().filter(|variant| !variant.is_empty()),
            ..Platform::linux(architecture)
        })
    }

    /// A label's value.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.config.as_ref()?.labels.as_ref()?.get(name).map(String::as_str)
    }

    /// The entrypoint; empty where there is none.
    pub fn entrypoint(&self) -> &[String] {
        self.config.as_ref().and_then(|config| config.entrypoint.as_deref()).unwrap_or_default()
    }
}

/// Parses a configuration.
pub fn parse(bytes: &[u8]) -> Result<ConfigFile, serde_json::Error> {
    serde_json::from_slice(bytes)
}

/// What a new configuration says.
#[derive(Debug, Clone)]
pub struct NewConfig<'a> {
    /// The image's platform.
    pub platform: &'a Platform,
    /// `created` of the image and of its history.
    pub created: Epoch,
    /// Labels.
    pub labels: &'a BTreeMap<String, String>,
    /// The part `config` of the image that this one is made of: it stays as it is, labels are added.
    pub inherited: Option<&'a Map<String, Value>>,
    /// The layers, with what made each.
    pub layers: &'a [(Layer, String)],
}

/// Makes a configuration; the same values give the same bytes.
pub fn encode(new: &NewConfig<'_>) -> Result<Vec<u8>, oci_spec::OciSpecError> {
    let created = new.created.to_string();
    let mut config = ConfigBuilder::default();
    if !new.labels.is_empty() {
        config = config.labels(new.labels.clone().into_iter().collect::<std::collections::HashMap<_, _>>());
    }
    let history = new
        .layers
        .iter()
        .map(|(_, by)| HistoryBuilder::default().created(created.clone()).created_by(by.clone()).build());
    let rootfs = RootFsBuilder::default()
        .typ("layers".to_owned())
        .diff_ids(new.layers.iter().map(|(layer, _)| layer.diff_id.to_string()).collect::<Vec<_>>())
        .build()?;
    let mut image = ImageConfigurationBuilder::default()
        .architecture(oci_spec::image::Arch::from(new.platform.architecture.as_str()))
        .os(oci_spec::image::Os::from(new.platform.os.as_str()))
        .created(created.clone())
        .config(config.build()?)
        .rootfs(rootfs)
        .history(history.collect::<Result<Vec<_>, _>>()?);
    if let Some(variant) = &new.platform.variant {
        image = image.variant(variant.clone());
    }
    // Through a Value: oci-spec keeps labels in a hash map, whose order differs from run to run.
    let mut value = serde_json::to_value(image.build()?)?;
    if let (Some(inherited), Some(own)) = (new.inherited, value.get_mut("config")) {
        *own = Value::Object(with_labels(inherited.clone(), new.labels));
    }
    Ok(base::json::to_vec(&value))
}

/// Adds labels to the part `config` of a configuration.
fn with_labels(mut config: Map<String, Value>, labels: &BTreeMap<String, String>) -> Map<String, Value> {
    if !labels.is_empty() {
        let mut all = match config.remove("Labels") {
            Some(Value::Object(labels)) => labels,
            _ => Map::new(), // Docker's null
        };
        all.extend(labels.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))));
        config.insert("Labels".to_owned(), Value::Object(all));
    }
    config
}

/// The part `config` of a configuration as it stands, with what this crate does not know.
pub fn inner(bytes: &[u8]) -> Result<Map<String, Value>, serde_json::Error> {
    let mut whole: Map<String, Value> = serde_json::from_slice(bytes)?;
    Ok(match whole.remove("config") {
        Some(Value::Object(config)) => config,
        _ => Map::new(),
    })
}

/// A configuration with one more layer on top. All that it says stays, but for `created`; its history has
/// one entry more, if it has any, since it counts the layers.
pub fn with_layer(
    bytes: &[u8],
    layer: &Layer,
    created: Epoch,
    by: &str,
) -> Result<Vec<u8>, serde_json::Error> {
    let mut whole: Map<String, Value> = serde_json::from_slice(bytes)?;
    let created = Value::from(created.to_string());
    whole.insert("created".to_owned(), created.clone());
    let rootfs = whole.entry("rootfs").or_insert(Value::Null);
    let mut diff_ids = match rootfs.get_mut("diff_ids").map(Value::take) {
        Some(Value::Array(diff_ids)) => diff_ids,
        _ => Vec::new(), // Docker's null
    };
    let is_first = diff_ids.is_empty();
    diff_ids.push(Value::from(layer.diff_id.to_string()));
    let mut all = Map::from_iter([("type".to_owned(), Value::from("layers"))]);
    if let Value::Object(others) = rootfs.take() {
        all.extend(others);
    }
    all.insert("diff_ids".to_owned(), Value::Array(diff_ids));
    *rootfs = Value::Object(all);
    let entry = json!({ "created": created, "created_by": by });
    match whole.get_mut("history") {
        Some(Value::Array(history)) if !history.is_empty() => history.push(entry),
        _ if is_first => drop(whole.insert("history".to_owned(), Value::Array(vec![entry]))),
        _ => {}
    }
    Ok(base::json::to_vec(&whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_configuration_reads_back_and_is_always_the_same() {
        let layer = Layer { descriptor: super::super::Descriptor::of("x", b""), diff_id: Digest::of(b"tar") };
        let labels: BTreeMap<String, String> =
            (0..20).map(|n| (format!("label{n}"), n.to_string())).collect();
        let platform: Platform = "linux/arm64/v8".parse().unwrap();
        let new = NewConfig {
            platform: &platform,
            created: Epoch::default(),
            labels: &labels,
            inherited: None,
            layers: &[(layer.clone(), "test".into())],
        };
        let bytes = encode(&new).unwrap();
        assert_eq!(bytes, encode(&new).unwrap());
        let read = parse(&bytes).unwrap();
        assert_eq!(read.platform(), Some(platform.clone()));
        assert_eq!(read.diff_ids(), [layer.diff_id]);
        assert_eq!(read.label("label7"), Some("7"));
        assert_eq!(read.created.as_deref(), Some("1970-01-01T00:00:00Z"));
    }

    #[test]
    fn what_an_image_is_made_of_goes_on_in_its_configuration() {
        let base = br#"{"os":"linux","config":{"Entrypoint":["/bin/x"],"Labels":{"a":"1","b":"2"},"Odd":{"k":[null]}}}"#;
        let inherited = inner(base).unwrap();
        let labels = BTreeMap::from([("b".to_owned(), "3".to_owned())]);
        let platform = Platform::linux("amd64");
        let epoch = Epoch::default();
        let new = NewConfig {
            platform: &platform,
            created: epoch,
            labels: &labels,
            inherited: Some(&inherited),
            layers: &[],
        };
        let made = inner(&encode(&new).unwrap()).unwrap();
        let expected = r#"{"Entrypoint":["/bin/x"],"Labels":{"a":"1","b":"3"},"Odd":{"k":[null]}}"#;
        assert_eq!(Value::Object(made).to_string(), expected);
        assert!(inner(br#"{"config":null}"#).unwrap().is_empty());
    }

    #[test]
    fn a_layer_on_top_leaves_all_else_as_it_is() {
        let layer = Layer { descriptor: super::super::Descriptor::of("x", b""), diff_id: Digest::of(b"tar") };
        let with = |text: &str| -> Value {
            let bytes = with_layer(text.as_bytes(), &layer, Epoch::default(), "me").unwrap();
            serde_json::from_slice(&bytes).unwrap()
        };
        let id = layer.diff_id.to_string();
        let made = with(
            r#"{"os":"linux","odd":[1],"created":"x","config":{"Env":["a=b"]},
            "rootfs":{"type":"layers","diff_ids":["sha256:0"],"k":1},"history":[{"comment":"c"}]}"#,
        );
        let expected = json!({
            "os": "linux", "odd": [1], "created": "1970-01-01T00:00:00Z", "config": { "Env": ["a=b"] },
            "rootfs": { "type": "layers", "diff_ids": ["sha256:0", id], "k": 1 },
            "history": [{ "comment": "c" }, { "created": "1970-01-01T00:00:00Z", "created_by": "me" }],
        });
        assert_eq!(made, expected);
        let bare = with(r#"{"rootfs":{"diff_ids":["sha256:0"]}}"#);
        assert!(bare.get("history").is_none() && bare["rootfs"]["type"] == "layers");
        let first = with(r#"{"rootfs":{"type":"layers","diff_ids":null}}"#);
        assert_eq!(
            (first["history"].as_array().unwrap().len(), &first["rootfs"]["diff_ids"][0]),
            (1, &id.into())
        );
    }

    #[test]
    fn dockers_nulls_are_read() {
        let read = parse(br#"{"architecture":"","config":{"Entrypoint":null,"Labels":null},"rootfs":{"type":"layers","diff_ids":null}}"#).unwrap();
        assert!(read.platform().is_none() && read.entrypoint().is_empty() && read.diff_ids().is_empty());
    }
}
