//! The parts that take the time: writing tar, compressing, digesting, and an extension from end to end.

#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::io::Write as _;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use talosmith::archive::compress::{Compression, Encoder};
use talosmith::archive::{Entry, Tree, squashfs, tar};
use talosmith::base::{Content, Digest, Events, Workers};
use talosmith::image::registry::{Client, Options};
use talosmith::image::{Platform, Store};
use talosmith::plan::Context;
use talosmith::plan::extension::{ExtensionSpec, build};

/// 16 MiB that compress about as well as kernel modules do: a real one, over and over, with a counter in
/// each page so that no page repeats within deflate's window.
fn modules() -> Vec<u8> {
    let module = include_bytes!("../testdata/modules/good.ko");
    let mut data: Vec<u8> = module.iter().copied().cycle().take(16 << 20).collect();
    for (number, page) in data.chunks_mut(512).enumerate() {
        let mut state = number as u64 ^ 0x9e37_79b9_7f4a_7c15;
        for byte in page.iter_mut().step_by(3) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte ^= (state >> 60) as u8;
        }
    }
    data
}

fn tree(data: &[u8]) -> Tree {
    let mut tree = Tree::new();
    for (number, part) in data.chunks(64 << 10).enumerate() {
        let path = format!("usr/lib/modules/6.12.0/kernel/{number}.ko");
        tree.insert(&path, Entry::file(0o644, Content::memory(part))).unwrap();
    }
    tree
}

fn parts(c: &mut Criterion) {
    let data = modules();
    let tree = tree(&data);
    let mut group = c.benchmark_group("16 MiB");
    group.throughput(Throughput::Bytes(data.len() as u64)).sample_size(10);
    group.bench_function("digest", |b| b.iter(|| Digest::of(black_box(&data))));
    group.bench_function("tar", |b| b.iter(|| tar::write_tree(&tree, None, std::io::sink()).unwrap()));
    for compression in ["none", "gzip:1", "gzip", "gzip:9", "zstd", "zstd:19"] {
        let workers = Workers::default();
        let compression: Compression = compression.parse().unwrap();
        group.bench_function(format!("compress {compression}"), |b| {
            b.iter(|| {
                let mut encoder = Encoder::new(std::io::sink(), compression, &workers);
                encoder.write_all(&data).unwrap();
                encoder.finish().unwrap()
            });
        });
    }
    group.finish();
    let mut manifest = Tree::new();
    let text = Content::memory(*b"version: v1alpha1\nmetadata: {name: bench, version: 1.0.0}\n");
    manifest.insert("manifest.yaml", Entry::file(0o644, text)).unwrap();
    let (workers, options) = (Workers::default(), squashfs::Options::default());
    c.bench_function("squashfs of a manifest", |b| {
        b.iter(|| {
            let help = squashfs::Help { workers: &workers, cache: None, progress: &|_| {} };
            squashfs::write_tree(&manifest, &options, &help, &mut std::io::Cursor::new(Vec::new())).unwrap()
        });
    });
}

fn end_to_end(c: &mut Criterion) {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    c.bench_function("extension, one module, empty cache", |b| {
        b.iter_batched(
            || tempfile::tempdir().unwrap(),
            |world| {
                let directory = world.path().join("out");
                let context = Context::new(
                    Store::open(world.path().join("cache")).unwrap(),
                    Workers::default(),
                    Client::new(Options::default(), Events::default()),
                    Events::default(),
                );
                let spec = ExtensionSpec {
                    directory: Some(root.join("testdata/my-module/amd64")),
                    platforms: vec![Platform::linux("amd64")],
                    outputs: vec![format!("oci:{}", directory.display())],
                    ..ExtensionSpec::default()
                };
                build(&spec, &context).unwrap();
                world // dropped outside the measured time
            },
            BatchSize::PerIteration,
        );
    });
}

criterion_group!(benches, parts, end_to_end);
criterion_main!(benches);
