//! Links the module so that it runs in Envoy's own images.

use std::{env, fs, path::Path};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Envoy unloads the module with its last configuration, but the module's thread still runs.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    // rustc links libgcc_s.so.1, which the distroless images of Envoy lack. The linker finds this
    // file first, and takes the same functions from the static libraries.
    let folder = env::var("OUT_DIR").expect("cargo sets it");
    let script = Path::new(&folder).join("libgcc_s.so");
    fs::write(script, "GROUP ( libgcc_eh.a libgcc.a )\n").expect("the folder can be written");
    println!("cargo:rustc-link-search=native={folder}");
}
