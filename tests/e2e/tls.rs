//! How the store's certificate is checked and ours is shown: by class, flag and environment, and over time.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coffer_tests::driver::Class;
use coffer_tests::fixture::{directory, eventually};
use coffer_tests::tls::Authority;
use coffer_tests::vault::{TlsFiles, Vault};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::cluster::sum;
use crate::stage::{failure, has, provider, provider_as, text};
use crate::world::{Store, run};

/// Files are looked at every ten seconds.
const RELOAD: Duration = Duration::from_secs(60);

/// A store with TLS, and one that also wants the client's certificate.
async fn stores() -> Result<&'static [Store; 2]> {
    static STORES: OnceCell<[Store; 2]> = OnceCell::const_new();
    STORES
        .get_or_try_init(async || {
            let [plain, mutual] = [
                Vault::start_tls(false).await?,
                Vault::start_tls(true).await?,
            ];
            for vault in [&plain, &mutual] {
                vault.kv2_put("secret", "foo", &json!({"k": "v"})).await?;
            }
            Ok([Store::of(plain).await?, Store::of(mutual).await?])
        })
        .await
}

/// A store, its files, a directory with its CA, and a CA that is not its own.
struct Scene {
    store: &'static Store,
    files: TlsFiles,
    directory: TempDir,
}

impl Scene {
    async fn new(mutual: bool) -> Result<Self> {
        let store = &stores().await?[usize::from(mutual)];
        let files = store.vault.tls().context("a store without TLS")?.clone();
        let directory = directory("tls")?;
        let place = directory.path();
        fs::write(place.join("other.crt"), Authority::new("another")?.pem())?;
        for (name, content) in [("good", fs::read(&files.ca)?), ("bad", b"no PEM".to_vec())] {
            fs::create_dir(place.join(name))?;
            fs::copy(&files.ca, place.join(name).join("a.pem"))?;
            fs::write(place.join(name).join("b.crt"), content)?;
        }
        Ok(Self {
            store,
            files,
            directory,
        })
    }

    fn path(&self, name: &str) -> String {
        text_of(&self.directory.path().join(name))
    }

    fn ca(&self) -> String {
        text_of(&self.files.ca)
    }

    fn class(&self, parameters: &[(&str, &str)]) -> Class {
        let class = self.store.class_of("secret/data/foo");
        parameters
            .iter()
            .fold(class, |class, (key, value)| class.with(key, value))
    }
}

fn text_of(path: &Path) -> String {
    path.display().to_string()
}

/// What a mount should say: the value, or a part of the failure.
async fn check(
    scene: &Scene,
    arguments: &[&str],
    environment: &[(&str, &str)],
    parameters: &[(&str, &str)],
    expected: Result<(), &str>,
) -> Result<()> {
    let provider = provider_as("vault", arguments, environment).await?;
    let outcome = scene
        .store
        .mount(&provider, scene.class(parameters))
        .await?;
    let seen = match expected {
        Ok(()) => text(&outcome).and_then(|text| has(&text, &["v"])),
        // The alert of a refused client may be lost with the connection.
        Err(DEMANDED) => failure(&outcome).and_then(|text| has(&text, &[DEMANDED])),
        Err(part) => failure(&outcome).and_then(|text| has(&text, &["FailedPrecondition: ", part])),
    };
    seen.with_context(|| format!("{arguments:?} {environment:?} {parameters:?}"))
}

/// The hint where a store turns us away.
const DEMANDED: &str = "does it demand a client certificate?";

/// What rustls says of a certificate by nobody it knows; the case of the letters is its own.
const UNKNOWN: &str = "UnknownIssuer";

/// §2 vaultCACertPath, §5 -vault-tls-ca-cert, §5 VAULT_CACERT, §5 VAULT_CACERT_BYTES, §14 client: a CA file replaces the system's roots
#[test]
fn a_ca_file_comes_from_class_flag_or_environment() -> Result<()> {
    run(async {
        let scene = Scene::new(false).await?;
        let (ca, missing, bad) = (scene.ca(), scene.path("missing"), scene.path("bad/b.crt"));
        let pem = fs::read_to_string(&ca)?;
        check(&scene, &[], &[], &[], Err(UNKNOWN)).await?;
        check(&scene, &[], &[], &[("vaultCACertPath", &ca)], Ok(())).await?;
        check(&scene, &["-vault-tls-ca-cert", &ca], &[], &[], Ok(())).await?;
        check(&scene, &[], &[("VAULT_CACERT", &ca)], &[], Ok(())).await?;
        check(&scene, &[], &[("VAULT_CACERT_BYTES", &pem)], &[], Ok(())).await?;
        check(
            &scene,
            &[],
            &[],
            &[("vaultCACertPath", &missing)],
            Err("missing"),
        )
        .await?;
        check(&scene, &[], &[], &[("vaultCACertPath", &bad)], Err("PEM")).await
    })
}

/// §2 vaultCADirectory, §5 -vault-tls-ca-directory, §5 VAULT_CAPATH, §14 client: so does a directory; one bad file in it fails, and a file wins over it
#[test]
fn a_ca_directory_comes_from_class_flag_or_environment() -> Result<()> {
    run(async {
        let scene = Scene::new(false).await?;
        let (good, bad, other) = (
            scene.path("good"),
            scene.path("bad"),
            scene.path("other.crt"),
        );
        check(&scene, &[], &[], &[("vaultCADirectory", &good)], Ok(())).await?;
        check(
            &scene,
            &["-vault-tls-ca-directory", &good],
            &[],
            &[],
            Ok(()),
        )
        .await?;
        check(&scene, &[], &[("VAULT_CAPATH", &good)], &[], Ok(())).await?;
        check(
            &scene,
            &[],
            &[],
            &[("vaultCADirectory", &bad)],
            Err("b.crt"),
        )
        .await?;
        check(
            &scene,
            &[],
            &[],
            &[("vaultCADirectory", &scene.path("missing"))],
            Err("missing"),
        )
        .await?;
        check(
            &scene,
            &[],
            &[],
            &[("vaultCADirectory", &good), ("vaultCACertPath", &other)],
            Err(UNKNOWN),
        )
        .await
    })
}

/// §5 precedence, §14 client: environment < flags < class, and each layer's CA replaces the one below
#[test]
fn the_cas_of_the_layers_replace_one_another() -> Result<()> {
    run(async {
        let scene = Scene::new(false).await?;
        let (good, other, directory) = (scene.ca(), scene.path("other.crt"), scene.path("good"));
        let flag = |ca: &str| ["-vault-tls-ca-cert".to_owned(), ca.to_owned()];
        for (environment, flags, class, expected) in [
            (&other, &good, "", Ok(())),
            (&good, &other, "", Err(UNKNOWN)),
            (&other, &other, good.as_str(), Ok(())),
            (&good, &good, other.as_str(), Err(UNKNOWN)),
        ] {
            let flags = flag(flags);
            let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
            let parameters: &[(&str, &str)] = &[("vaultCACertPath", class)];
            check(
                &scene,
                &flags,
                &[("VAULT_CACERT", environment)],
                parameters,
                expected,
            )
            .await?;
        }
        // A directory of a higher layer beats a file of a lower one.
        check(
            &scene,
            &["-vault-tls-ca-cert", &other],
            &[],
            &[("vaultCADirectory", &directory)],
            Ok(()),
        )
        .await
    })
}

/// §2 vaultTLSServerName, §5 -vault-tls-server-name, §5 VAULT_TLS_SERVER_NAME: the name that is verified
#[test]
fn a_server_name_is_what_the_certificate_is_checked_for() -> Result<()> {
    run(async {
        let scene = Scene::new(false).await?;
        let ca = scene.ca();
        let with = |name: &'static str| {
            [
                ("vaultCACertPath", ca.clone()),
                ("vaultTLSServerName", name.to_owned()),
            ]
        };
        for (name, expected) in [
            ("localhost", Ok(())),
            ("other.example", Err("other.example")),
        ] {
            let parameters = with(name);
            let parameters = parameters
                .each_ref()
                .map(|(key, value)| (*key, value.as_str()));
            check(&scene, &[], &[], &parameters, expected).await?;
            let class = &[("vaultCACertPath", ca.as_str())];
            check(
                &scene,
                &["-vault-tls-server-name", name],
                &[],
                class,
                expected,
            )
            .await?;
            check(
                &scene,
                &[],
                &[("VAULT_TLS_SERVER_NAME", name)],
                class,
                expected,
            )
            .await?;
        }
        Ok(())
    })
}

/// §2 vaultSkipTLSVerify, §5 -vault-tls-skip-verify, §5 VAULT_SKIP_VERIFY: Go's spellings of true and false, and nothing else
#[test]
fn verification_can_be_skipped_in_gos_spellings() -> Result<()> {
    run(async {
        let scene = Scene::new(false).await?;
        let provider = provider(&[]).await?;
        for written in ["1", "t", "T", "TRUE", "true", "True"] {
            let outcome = scene
                .store
                .mount(&provider, scene.class(&[("vaultSkipTLSVerify", written)]))
                .await?;
            assert_eq!(text(&outcome)?, "v", "{written}");
        }
        for (written, expected) in [
            ("0", UNKNOWN),
            ("f", UNKNOWN),
            ("F", UNKNOWN),
            ("FALSE", UNKNOWN),
            ("false", UNKNOWN),
            ("False", UNKNOWN),
            ("yes", "is not a boolean"),
        ] {
            let outcome = scene
                .store
                .mount(&provider, scene.class(&[("vaultSkipTLSVerify", written)]))
                .await?;
            has(&failure(&outcome)?, &[expected])?;
        }
        check(&scene, &["-vault-tls-skip-verify"], &[], &[], Ok(())).await?;
        check(&scene, &["-vault-tls-skip-verify=true"], &[], &[], Ok(())).await?;
        check(&scene, &[], &[("VAULT_SKIP_VERIFY", "1")], &[], Ok(())).await
    })
}

/// D19, §2 vaultSkipTLSVerify: `false` in a class cannot undo the operator's `true`, and is warned about
#[test]
fn a_class_cannot_undo_the_operators_skip() -> Result<()> {
    run(async {
        let scene = Scene::new(false).await?;
        let mut provider = provider(&["-vault-tls-skip-verify"]).await?;
        let class = scene.class(&[("vaultSkipTLSVerify", "false")]);
        assert_eq!(text(&scene.store.mount(&provider, class).await?)?, "v");
        has(
            &provider.whole_log().await?,
            &["vaultSkipTLSVerify: false cannot undo"],
        )
    })
}

/// §2 vaultTLSClientCertPath, §2 vaultTLSClientKeyPath, §5 -vault-tls-client-cert, §5 -vault-tls-client-key, §5 VAULT_CLIENT_CERT, §5 VAULT_CLIENT_KEY: our certificate, from any one layer
#[test]
fn a_client_certificate_comes_from_class_flag_or_environment() -> Result<()> {
    run(async {
        let scene = Scene::new(true).await?;
        let (ca, cert, key) = (
            scene.ca(),
            text_of(&scene.files.client_certificate),
            text_of(&scene.files.client_key),
        );
        let class = [("vaultCACertPath", ca.as_str())];
        let own = [
            ("vaultCACertPath", ca.as_str()),
            ("vaultTLSClientCertPath", &cert),
            ("vaultTLSClientKeyPath", &key),
        ];
        check(&scene, &[], &[], &class, Err(DEMANDED)).await?;
        check(&scene, &[], &[], &own, Ok(())).await?;
        check(
            &scene,
            &[
                "-vault-tls-client-cert",
                &cert,
                "-vault-tls-client-key",
                &key,
            ],
            &[],
            &class,
            Ok(()),
        )
        .await?;
        check(
            &scene,
            &[],
            &[("VAULT_CLIENT_CERT", &cert), ("VAULT_CLIENT_KEY", &key)],
            &class,
            Ok(()),
        )
        .await?;
        let provider = provider(&[
            "-vault-tls-client-cert",
            &cert,
            "-vault-tls-client-key",
            &key,
        ])
        .await?;
        for half in [&own[..2], &[own[0], own[2]]] {
            let told = failure(&scene.store.mount(&provider, scene.class(half)).await?)?;
            has(
                &told,
                &[
                    "InvalidArgument: ",
                    "both client cert and client key must be provided",
                ],
            )?;
        }
        Ok(())
    })
}

/// Replaces a file as a mounted Secret is replaced: by a rename.
fn replace(path: &Path, by: &[u8]) -> Result<()> {
    let fresh: PathBuf = path.with_extension("new");
    fs::write(&fresh, by)?;
    Ok(fs::rename(fresh, path)?)
}

/// D18: a CA that is replaced on disk takes effect without a restart
#[test]
fn d18_a_replaced_ca_takes_effect() -> Result<()> {
    run(async {
        let scene = Scene::new(false).await?;
        let file = scene.directory.path().join("ca.crt");
        fs::copy(scene.path("other.crt"), &file)?;
        let provider = provider(&["-vault-tls-ca-cert", &text_of(&file)]).await?;
        let mount = async || scene.store.mount(&provider, scene.class(&[])).await;
        has(&failure(&mount().await?)?, &[UNKNOWN])?;
        replace(&file, &fs::read(&scene.files.ca)?)?;
        eventually(RELOAD, "the new CA", async || {
            text(&mount().await?).map(|_| ())
        })
        .await
    })
}

/// D18: so does a client certificate, and one that cannot be used leaves the old one in place
#[test]
fn d18_a_broken_client_certificate_leaves_the_old_one() -> Result<()> {
    run(async {
        let scene = Scene::new(true).await?;
        let place = scene.directory.path();
        let (cert, key) = (place.join("client.crt"), place.join("client.key"));
        fs::copy(&scene.files.client_certificate, &cert)?;
        fs::copy(&scene.files.client_key, &key)?;
        let mut provider = provider(&[
            "-vault-tls-ca-cert",
            &scene.ca(),
            "-vault-tls-client-cert",
            &text_of(&cert),
            "-vault-tls-client-key",
            &text_of(&key),
        ])
        .await?;
        let mount = async || text(&scene.store.mount(&provider, scene.class(&[])).await?);
        assert_eq!(mount().await?, "v");
        replace(&cert, b"half writ")?;
        eventually(RELOAD, "a look at the broken file", async || {
            ensure!(mount().await? == "v");
            ensure!(sum(&provider, "coffer_tls_reload_failures_total", &[]).await? >= 1.0);
            Ok(())
        })
        .await?;
        has(
            &provider.whole_log().await?,
            &["changed TLS files cannot be used, the old ones stay"],
        )
    })
}
