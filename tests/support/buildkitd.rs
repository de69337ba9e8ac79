//! A real `buildkitd` with a root and a socket of its own, and a build in it that does with a kernel what Talos'
//! does: one stage makes a throw-away key, puts its certificate into the kernel and signs modules; packages take
//! the key from that stage. No image is pulled: the base is Debian's static busybox, openssl and `sign-file`.

// Each test uses its part of this.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use talosmith::base::Content;
use talosmith::kmod::{ModuleFacts, SignatureState};

use super::judge::{judge, missing};
use super::kernel::{RELEASE, kernel, module_path, package};

/// What the tests need of the machine.
pub(crate) struct Programs {
    buildkitd: PathBuf,
    pub(crate) buildctl: PathBuf,
    openssl: PathBuf,
    sign_file: PathBuf,
    /// A static one.
    pub(crate) busybox: PathBuf,
}

impl Programs {
    /// All of them, or the word that the test is skipped.
    pub(crate) fn find() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return missing("buildkitd runs as root only");
        }
        judge("runc")?;
        let found = Self {
            buildkitd: judge("buildkitd")?,
            buildctl: judge("buildctl")?,
            openssl: judge("openssl")?,
            sign_file: judge("sign-file")?,
            busybox: judge("busybox")?,
        };
        // A dynamic one would want libraries that the build does not have.
        let kind = Command::new("ldd").arg(&found.busybox).output().unwrap();
        if kind.status.success() {
            return missing("busybox is not static (package busybox-static)");
        }
        Some(found)
    }
}

/// A daemon; ends when dropped.
pub(crate) struct Daemon {
    child: Child,
    folder: tempfile::TempDir,
    buildctl: PathBuf,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // By SIGTERM it takes its mounts along.
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.child),
            rustix::process::Signal::TERM,
        );
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.child.try_wait().is_ok_and(|ended| ended.is_none()) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill(); // it has ended
        let _ = self.child.wait();
    }
}

impl Daemon {
    /// One with nothing in its cache, which keeps what comes into it.
    pub(crate) fn start(programs: &Programs) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), programs, "gc = false\n")
    }

    /// One that speaks plain HTTP with this registry.
    pub(crate) fn start_with_registry(programs: &Programs, host: &str) -> Self {
        let registry = format!("gc = false\n[registry.\"{host}\"]\nhttp = true\n");
        Self::start_in(tempfile::tempdir().unwrap(), programs, &registry)
    }

    /// The same cache under a daemon that keeps 24 MB, less than the build of the kernel leaves behind: it collects a second after its start.
    pub(crate) fn restart_tight(mut self, programs: &Programs) -> Self {
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        drop(self);
        let policy = "gc = true\n[[worker.oci.gcpolicy]]\nall = true\nmaxUsedSpace = \"24MB\"\n";
        Self::start_in(folder, programs, policy)
    }

    /// One that listens at this port of this machine, too, and there wants certificates of an authority that both
    /// have: `ca.pem`, `cert.pem` and `key.pem` in that folder, for daemon and clients.
    pub(crate) fn start_with_tls(programs: &Programs, port: u16, folder: &Path) -> Self {
        let script = "openssl req -x509 -newkey rsa:2048 -nodes -days 36500 -subj /CN=authority -keyout ca.key -out ca.pem\n\
            openssl req -newkey rsa:2048 -nodes -subj /CN=both -keyout key.pem -out request.pem\n\
            echo subjectAltName=DNS:builder >extensions\n\
            openssl x509 -req -days 36500 -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -extfile extensions -out cert.pem";
        fs::create_dir_all(folder).unwrap();
        let made = Command::new("/bin/sh").args(["-ec", script]).current_dir(folder).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let file = |name: &str| folder.join(name).display().to_string();
        let (cert, key, ca) = (file("cert.pem"), file("key.pem"), file("ca.pem"));
        let tls = format!("gc = false\n[grpc.tls]\ncert = \"{cert}\"\nkey = \"{key}\"\nca = \"{ca}\"\n");
        Self::start_at(tempfile::tempdir().unwrap(), programs, &tls, &format!(", \"tcp://127.0.0.1:{port}\""))
    }

    fn start_in(folder: tempfile::TempDir, programs: &Programs, more: &str) -> Self {
        Self::start_at(folder, programs, more, "")
    }

    /// `more` begins with lines of the worker's; `addresses` are those beside the socket.
    fn start_at(folder: tempfile::TempDir, programs: &Programs, more: &str, addresses: &str) -> Self {
        let path = |name: &str| folder.path().join(name).display().to_string();
        let config = format!(
            "root = \"{}\"\n[grpc]\naddress = [\"unix://{}\"{addresses}]\n[worker.oci]\nenabled = true\nsnapshotter = \"overlayfs\"\n\
             {more}[worker.containerd]\nenabled = false\n",
            path("root"),
            path("socket")
        );
        fs::write(folder.path().join("buildkitd.toml"), config).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new(&programs.buildkitd);
        command.args(["--config", &path("buildkitd.toml"), "--otel-socket-path", &path("otel")]);
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let mut daemon = Self { child, folder, buildctl: programs.buildctl.clone() };
        daemon.until("buildkitd answers", |daemon| daemon.buildctl(&["debug", "info"]).status.success());
        daemon
    }

    /// Waits until the daemon, which must not end meanwhile, has come so far.
    pub(crate) fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !is_so(self) {
            let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(self.child.try_wait().unwrap().is_none(), "buildkitd ended: {}", log());
            assert!(Instant::now() < deadline, "in vain: {what}: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Where it is.
    pub(crate) fn address(&self) -> String {
        format!("unix://{}", self.folder.path().join("socket").display())
    }

    /// Runs its client.
    pub(crate) fn buildctl(&self, words: &[&str]) -> Output {
        Command::new(&self.buildctl).args(["--addr", &self.address()]).args(words).output().unwrap()
    }

    /// Builds one stage of a context by itself, as somebody does who builds the kernel today and the rest
    /// tomorrow.
    pub(crate) fn build(&self, context: &Path, target: &str, more: &[&str]) {
        self.build_to(context, target, "type=tar,dest=/dev/null", more);
    }

    /// The same, with an output of this kind.
    pub(crate) fn build_to(&self, context: &Path, target: &str, output: &str, more: &[&str]) {
        let (context, target) = (context.display().to_string(), format!("target={target}"));
        let (sources, files) = (format!("context={context}"), format!("dockerfile={context}"));
        let words = [
            "build",
            "--frontend",
            "dockerfile.v0",
            "--local",
            &sources,
            "--local",
            &files,
            "--opt",
            &target,
            "--opt",
            "platform=linux/amd64",
            "--opt",
            "build-arg:SOURCE_DATE_EPOCH=0",
            "--output",
            output,
        ];
        let out = self.buildctl(&[&words[..], more].concat());
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }

    /// Removes the results of steps whose description has this in it from the cache; gives how many there were.
    pub(crate) fn forget(&self, step: &str) -> usize {
        let ids = self.results(step);
        for id in &ids {
            let out = self.buildctl(&["prune", "--filter", &format!("id=={id}")]);
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        }
        ids.len()
    }

    /// Removes everything from the cache.
    pub(crate) fn prune(&self) {
        let out = self.buildctl(&["prune", "--all"]);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        assert_eq!(self.cache(), Vec::<String>::new());
    }

    /// The cached results of steps whose description has this in it.
    fn results(&self, step: &str) -> Vec<String> {
        let lines = self.cache().into_iter().filter(|line| line.contains(step));
        lines.filter_map(|line| line.split(' ').next().map(str::to_owned)).collect()
    }

    /// What is in the cache: identifier, size and description of each result.
    pub(crate) fn cache(&self) -> Vec<String> {
        let format = "{{range .}}{{.ID}} {{.Size}} {{printf \"%q\\n\" .Description}}{{end}}";
        let out = self.buildctl(&["du", "--format", format]);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout)
            .lines()
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    }
}

/// Makes the folder of a build.
pub(crate) struct Build<'a> {
    folder: &'a Path,
    offsets: Vec<(&'static str, usize)>,
}

const OPENSSL: &str = "[req]\ndistinguished_name = dn\nprompt = no\nx509_extensions = ext\n[dn]\nCN = Build time throw-away kernel key\n\
                       [ext]\nbasicConstraints = critical,CA:FALSE\nkeyUsage = digitalSignature\n\
                       subjectKeyIdentifier = hash\nauthorityKeyIdentifier = keyid\n";

/// Makes a key whose certificate has the same length each time: the first digit of the serial number is not 0.
const MAKE_KEY: &str = "serial=0x5$(od -An -tx1 -N10 /dev/urandom | tr -d ' \\n' | cut -c2-)\n\
openssl req -x509 -newkey rsa:2048 -nodes -sha512 -days 36500 -config /src/openssl.cnf -set_serial $serial \\\n\
    -keyout /key.pem -outform DER -out /key.der 2>/dev/null\n";

impl<'a> Build<'a> {
    /// The tools, the sources, and a Dockerfile with the stages `kernel-build`, `kernel` and `my-module-pkg`.
    pub(crate) fn new(folder: &'a Path, programs: &Programs) -> Self {
        let mut build = Self { folder, offsets: Vec::new() };
        build.tools(programs);
        build.kernels(programs);
        build.write("src/openssl.cnf", OPENSSL);
        build.write("src/kernel.sh", build.kernel_script());
        build.write(
            "src/package.sh",
            format!(
                "set -e\nPATH=/bin\nmodules=/rootfs/usr/lib/modules/{RELEASE}/extras\nmkdir -p $modules\n\
                 cp /src/my-module.ko.$1 $modules/my-module.ko\nsign-file sha512 /key.pem /key.der $modules/my-module.ko\n"
            ),
        );
        build.dockerfile(
            "FROM kernel-build AS package-build\nARG TARGETARCH\nRUN [\"/bin/sh\", \"-c\", \"/bin/sh /src/package.sh $TARGETARCH\"]\n\
             FROM scratch AS my-module-pkg\nCOPY --from=package-build /rootfs/ /\n",
        );
        build
    }

    /// Writes the Dockerfile with other stages behind the kernel's.
    pub(crate) fn dockerfile(&self, packages: &str) {
        self.write(
            "Dockerfile",
            format!(
                "FROM scratch AS base\nCOPY tools/ /\nCOPY src/ /src/\n\
                 FROM base AS kernel-build\nARG TARGETARCH\nRUN [\"/bin/sh\", \"-c\", \"/bin/sh /src/kernel.sh $TARGETARCH\"]\n\
                 FROM scratch AS kernel\nCOPY --from=kernel-build /out/ /\n{packages}"
            ),
        );
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// busybox, and what is dynamic with its libraries.
    fn tools(&self, programs: &Programs) {
        let bin = self.folder.join("tools/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::copy(&programs.busybox, bin.join("busybox")).unwrap();
        for name in [
            "sh", "od", "tr", "cut", "cp", "mkdir", "dd", "gzip", "cat", "stat", "printf", "sleep", "mv",
            "rm",
        ] {
            std::os::unix::fs::symlink("busybox", bin.join(name)).unwrap();
        }
        for program in [&programs.openssl, &programs.sign_file] {
            fs::copy(program, bin.join(program.file_name().unwrap())).unwrap();
            let out = Command::new("ldd").arg(program).output().unwrap();
            let text = String::from_utf8(out.stdout).unwrap();
            for library in text.split_whitespace().filter(|word| word.starts_with('/')) {
                let place = self.folder.join("tools").join(library.trim_start_matches('/'));
                fs::create_dir_all(place.parent().unwrap()).unwrap();
                fs::copy(library, place).unwrap();
            }
        }
    }

    /// Kernels that hold a certificate of the right length, where it is, and modules without a signature.
    fn kernels(&mut self, programs: &Programs) {
        let key = tempfile::tempdir().unwrap();
        fs::write(key.path().join("openssl.cnf"), OPENSSL).unwrap();
        let script = MAKE_KEY
            .replace("/src/", "./")
            .replace("/key", "./key")
            .replace("openssl ", &format!("{} ", programs.openssl.display()));
        let made = Command::new("/bin/sh").args(["-ec", &script]).current_dir(key.path()).output().unwrap();
        let certificate = fs::read(key.path().join("key.der")).unwrap_or_else(|_| panic!("{made:?}"));
        for (arch, align) in [("amd64", 8), ("arm64", 256)] {
            let (bytes, offset) = unpacked_kernel(arch, &certificate, align);
            self.write(&format!("src/vmlinux.{arch}"), bytes);
            self.offsets.push((arch, offset));
        }
        self.write("src/head", setup());
        let module = fs::read(package("unsigned").join(module_path())).unwrap();
        let dummy = fs::read(kernel().join(format!("usr/lib/modules/{RELEASE}/kernel/drivers/net/dummy.ko")))
            .unwrap();
        for (name, bytes) in [("my-module", module), ("dummy", without_signature(dummy))] {
            self.write(&format!("src/{name}.ko.amd64"), &bytes);
            let mut other = bytes;
            other[18] = 183; // the machine is all of it that is read
            self.write(&format!("src/{name}.ko.arm64"), &other);
        }
    }

    fn kernel_script(&self) -> String {
        let offset = |arch: &str| self.offsets.iter().find(|(own, _)| *own == arch).unwrap().1;
        format!(
            "set -e\nPATH=/bin\narch=$1\n{MAKE_KEY}\
             case $arch in amd64) offset={};; arm64) offset={};; esac\n\
             modules=/out/usr/lib/modules/{RELEASE}/kernel/drivers/net\nmkdir -p /out/boot $modules\n\
             cp /src/vmlinux.$arch /vmlinux\ndd if=/key.der of=/vmlinux bs=1 seek=$offset conv=notrunc 2>/dev/null\n\
             case $arch in\narm64) mv /vmlinux /out/boot/vmlinuz;;\namd64)\n    gzip -9 </vmlinux >/payload\n    cat /src/head /payload >/out/boot/vmlinuz\n    \
             size=$(stat -c %s /payload)\n    printf \"\\\\x$(printf %02x $((size & 255)))\\\\x$(printf %02x $((size >> 8 & 255)))\\\\x$(printf %02x $((size >> 16 & 255)))\\\\0\" |\n        \
             dd of=/out/boot/vmlinuz bs=1 seek=588 conv=notrunc 2>/dev/null;;\nesac\n\
             cp /src/dummy.ko.$arch $modules/dummy.ko\nsign-file sha512 /key.pem /key.der $modules/dummy.ko\n\
             # What a kernel's build leaves behind is larger than the kernel.\ndd if=/dev/urandom of=/objects bs=1M count=24 2>/dev/null\n\
             [ ! -e /src/fail ] || {{ echo 'cc: fatal error' >&2; exit 3; }}\n\
             [ ! -e /src/wait ] || {{ echo waiting; exec sleep $(cat /src/wait); }}\n",
            offset("amd64"),
            offset("arm64"),
        )
    }
}

/// A module without its signature.
fn without_signature(mut bytes: Vec<u8>) -> Vec<u8> {
    let facts = ModuleFacts::read(&Content::memory(bytes.clone()), "dummy.ko").unwrap();
    let SignatureState::Signed(trailer) = facts.signature else { panic!("it has none") };
    bytes.truncate(usize::try_from(trailer.content_len).unwrap());
    bytes
}

/// What readers of kernels look for in an unpacked one, and where the certificate is in it.
fn unpacked_kernel(arch: &str, certificate: &[u8], align: usize) -> (Vec<u8>, usize) {
    let mut bytes = vec![0; 4096];
    match arch {
        "amd64" => bytes[..4].copy_from_slice(b"\x7fELF"),
        _ => {
            bytes[..2].copy_from_slice(b"MZ");
            bytes[0x38..0x3c].copy_from_slice(b"ARM\x64");
        }
    }
    write!(bytes, "Linux version {RELEASE} (stand-in) #1 SMP PREEMPT\n\0").unwrap();
    write!(bytes, "{RELEASE} SMP preempt mod_unload modversions \0").unwrap();
    let aligned = |bytes: &mut Vec<u8>| bytes.resize(bytes.len().next_multiple_of(align), 0);
    aligned(&mut bytes);
    let offset = bytes.len();
    bytes.extend_from_slice(certificate);
    for _ in 0..2 {
        aligned(&mut bytes);
        bytes.extend_from_slice(&(certificate.len() as u64).to_le_bytes());
    }
    bytes.resize(bytes.len() + 4096, 0);
    (bytes, offset)
}

/// The boot sector and one setup sector of a bzImage (Documentation/arch/x86/boot.rst); the length of the payload,
/// at 0x24c, is missing.
fn setup() -> Vec<u8> {
    let mut head = vec![0; 1024];
    head[0x1f1] = 1;
    head[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    head[0x202..0x206].copy_from_slice(b"HdrS");
    head[0x206..0x208].copy_from_slice(&0x20f_u16.to_le_bytes());
    head[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
    head[0x236..0x238].copy_from_slice(&1_u16.to_le_bytes());
    let version = format!("{RELEASE} (stand-in) #1 SMP PREEMPT\0");
    head[0x300..0x300 + version.len()].copy_from_slice(version.as_bytes());
    head
}
