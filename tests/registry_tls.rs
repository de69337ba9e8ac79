//! The registry client over TLS. Loopback hosts are spoken to in plain HTTP, so the registry is
//! addressed as `0.0.0.0`, which is this machine and no loopback address.

// The helpers of tests are tests too; clippy's own exemption ends at `#[test]`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::net::TcpListener;
use std::sync::Arc;

use rustls::pki_types::PrivateKeyDer;
use support::registry::{FakeRegistry, Faults};
use talosmith::base::Events;
use talosmith::image::registry::{Client, Options, PlainHttp, RegistryError};
use talosmith::image::{RegistryReference, media_type};

/// Serves `fake` over TLS with a certificate of its own; gives the port and the certificate.
fn serve_tls(fake: &FakeRegistry) -> (u16, String) {
    let made = rcgen::generate_simple_self_signed(["0.0.0.0".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (fake, config) = (fake.clone(), Arc::new(config));
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let fake = fake.clone();
            std::thread::spawn(move || fake.serve(rustls::StreamOwned::new(connection, stream)));
        }
    });
    (port, made.cert.pem())
}

fn reference(port: u16) -> RegistryReference {
    format!("0.0.0.0:{port}/acme/x:1").parse().unwrap()
}

#[test]
fn an_own_authority_is_trusted_when_it_is_named_and_only_then() {
    let fake = FakeRegistry::start(Faults::default());
    fake.add_manifest("acme/x", "1", media_type::OCI_MANIFEST, b"{}");
    let (port, certificate) = serve_tls(&fake);
    let error = Client::new(Options::default(), Events::default()).resolve(&reference(port)).unwrap_err();
    assert!(matches!(error, RegistryError::Tls { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("--tls-ca"));

    let file = tempfile::NamedTempFile::new().unwrap();
    let options = Options { tls_ca: Some(file.path().to_owned()), ..Options::default() };
    let client = Client::new(options, Events::default());
    let error = client.resolve(&reference(port)).unwrap_err();
    assert!(error.to_string().contains("no certificate in PEM form"), "{error}");
    std::fs::write(file.path(), certificate).unwrap();
    assert_eq!(client.resolve(&reference(port)).unwrap().1, b"{}");
    fake.add_blob("acme/x", b"bytes");
    // A blob that lies behind plain HTTP is not fetched from a registry that is spoken to in TLS.
    fake.set(|faults| faults.redirect = Some(format!("http://{}", fake.host)));
    let descriptor = talosmith::image::Descriptor::of(media_type::OCI_LAYER, b"bytes");
    let mut got = Vec::new();
    let error = client.pull_blob(&reference(port), &descriptor, &mut got, &Default::default()).unwrap_err();
    assert!(error.to_string().contains("leads from HTTPS to plain HTTP"), "{error}");
}

#[test]
fn plain_http_where_https_was_spoken_is_told_with_the_way_out() {
    let fake = FakeRegistry::start(Faults::default());
    fake.add_manifest("acme/x", "1", media_type::OCI_MANIFEST, b"{}");
    let port = fake.host.rsplit(':').next().unwrap().parse().unwrap();
    let error = Client::new(Options::default(), Events::default()).resolve(&reference(port)).unwrap_err();
    assert!(matches!(error, RegistryError::NotTls { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("--insecure"));
    let client =
        Client::new(Options { plain_http: PlainHttp::Everywhere, ..Options::default() }, Events::default());
    assert_eq!(client.resolve(&reference(port)).unwrap().1, b"{}");
}
