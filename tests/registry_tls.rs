//! The registry client over TLS. Loopback hosts are spoken to in plain HTTP, so the registry is
//! addressed as `0.0.0.0`, which is this machine and no loopback address.

// The helpers of tests are tests too; clippy's own exemption ends at `#[test]`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::net::TcpListener;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use support::registry::{FakeRegistry, Faults};
use support::time::TestTime;
use talosmith::base::Events;
use talosmith::image::registry::{Client, Options, PlainHttp, RegistryError, TlsIdentity};
use talosmith::image::{RegistryReference, media_type};

/// Serves `fake` over TLS with a certificate of its own; gives the port and the certificate. Clients show one by
/// `authority`, if there is one.
fn serve_tls(fake: &FakeRegistry, authority: Option<CertificateDer<'static>>) -> (u16, String) {
    let made = rcgen::generate_simple_self_signed(["0.0.0.0".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = match authority {
        None => config.with_no_client_auth(),
        Some(authority) => {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(authority).unwrap();
            let verifier =
                rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            config.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let config = config.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
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
    let (port, certificate) = serve_tls(&fake, None);
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

#[test]
fn a_registry_that_asks_who_it_is_gets_the_clients_certificate() {
    let fake = FakeRegistry::start(Faults::default());
    fake.add_manifest("acme/x", "1", media_type::OCI_MANIFEST, b"{}");
    let own = rcgen::generate_simple_self_signed(["client".to_owned()]).unwrap();
    let (port, certificate) = serve_tls(&fake, Some(own.cert.der().clone()));
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        std::fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name)
    };
    let tls_ca = Some(file("ca.pem", certificate.clone()));
    let identity = TlsIdentity {
        certificate: file("own.pem", own.cert.pem()),
        key: file("key.pem", own.signing_key.serialize_pem()),
    };
    let client = |tls_identity| {
        Client::new(
            Options { tls_ca: tls_ca.clone(), tls_identity, ..TestTime::default().options() },
            Events::default(),
        )
    };
    assert_eq!(client(Some(identity.clone())).resolve(&reference(port)).unwrap().1, b"{}");
    let error = client(None).resolve(&reference(port)).unwrap_err();
    assert!(matches!(error, RegistryError::Tls { .. } | RegistryError::Network { .. }), "{error:?}");
    // A key of another certificate, and files that are none.
    let other = rcgen::generate_simple_self_signed(["client".to_owned()]).unwrap();
    for (key, said) in [
        (other.signing_key.serialize_pem(), "the client's certificate cannot be used"),
        (certificate, "no private key in PEM form"),
        (
            "-----BEGIN PRIVATE KEY-----\nt0psecret\n-----END PRIVATE KEY-----\n".to_owned(),
            "no private key in PEM form",
        ),
    ] {
        let identity = TlsIdentity { key: file("other.pem", key), ..identity.clone() };
        let error = client(Some(identity)).resolve(&reference(port)).unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
        assert!(!format!("{error:?}").contains("t0psecret"));
    }
}
