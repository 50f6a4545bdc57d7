//! Saving and loading of parameters.

use candle_core::{DType, Device};
use hstep::Error;
use hstep::nn::{Activation, Adam, AdamConfig, Stack, Store};
use hstep::rng::Rng;
use hstep::shape::Spec;

use super::config;

#[test]
fn stores_survive_bytes_and_refuse_garbage() {
    let mut rng = Rng::new(13);
    let stack =
        Stack::new(&config(&[2, 3, 1], Activation::Relu, 2), &mut rng, &Spec::f32()).unwrap();
    let adam = Adam::new(stack.params(), &AdamConfig::default(), &[]).unwrap();
    let mut store = Store::new(stack.params().named_tensors("critic").unwrap());
    store.put_below("critic_adam", adam.state().unwrap());
    store.note("elites", &vec![3, 1]).unwrap();
    store.note("a", &"first").unwrap();
    let bytes = store.to_bytes().unwrap();
    assert_eq!(bytes, store.to_bytes().unwrap());
    let back = Store::from_bytes(&bytes, "memory", &Device::Cpu).unwrap();
    assert_eq!(bytes, back.to_bytes().unwrap());
    assert_eq!(back.read_note::<Vec<usize>>("elites").unwrap(), [3, 1]);
    assert!(back.read_note::<Vec<usize>>("a").is_err() && back.get("nothing").is_err());
    let other = Stack::new(stack.config(), &mut Rng::new(99), &Spec::f32()).unwrap();
    other.params().load_named("critic", &back.tensors).unwrap();
    assert_eq!(other.params().to_flat().unwrap(), stack.params().to_flat().unwrap());
    assert_eq!(back.get("critic_adam.m").unwrap().dtype(), DType::F32);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    store.save(&path).unwrap();
    assert_eq!(Store::load(&path, &Device::Cpu).unwrap().to_bytes().unwrap(), bytes);
    assert!(matches!(Store::load(folder.path().join("no"), &Device::Cpu), Err(Error::Io { .. })));
    for cut in [0, 7, 8, 40, bytes.len() - 1] {
        let broken = Store::from_bytes(&bytes[..cut], "broken", &Device::Cpu);
        assert!(matches!(broken, Err(Error::Checkpoint { .. })), "cut at {cut}");
    }
    for at in 0..200 {
        // Any answer but a panic or a huge allocation.
        let mut garbled = bytes.clone();
        garbled[at] ^= 0x55;
        let _ = Store::from_bytes(&garbled, "garbled", &Device::Cpu);
    }
}

#[test]
fn loading_into_another_network_names_the_difference() {
    let spec = Spec::f32();
    let stack =
        Stack::new(&config(&[2, 3, 1], Activation::Relu, 1), &mut Rng::new(1), &spec).unwrap();
    let p = stack.params();
    let good = p.named_tensors("pi").unwrap();
    let mut missing = good.clone();
    missing.remove("pi.l1.b");
    let message = p.load_named("pi", &missing).unwrap_err().to_string();
    assert!(message.contains("`pi.l1.b` is missing"), "{message}");
    let mut extra = good.clone();
    extra.insert("pi.l2.w".into(), spec.zeros(1).unwrap());
    let message = p.load_named("pi", &extra).unwrap_err().to_string();
    assert!(message.contains("pi.l2.w"), "{message}");
    let mut shape = good.clone();
    shape.insert("pi.l0.w".into(), spec.zeros((1, 3, 3)).unwrap());
    let message = p.load_named("pi", &shape).unwrap_err().to_string();
    assert!(message.contains("[1, 2, 3]") && message.contains("[1, 3, 3]"), "{message}");
    let mut others = good;
    others.insert("q.l0.w".into(), spec.zeros(1).unwrap());
    p.load_named("pi", &others).unwrap();
}
