//! Random primes, and the RSA and DSA keys made of them.

use num_bigint::BigUint;

use super::der::{sequence, unsigned};
use crate::exec::Fault;

/// Rounds of Miller and Rabin's test; a composite of these sizes passes with a chance far below 2^-100.
const ROUNDS: usize = 20;

fn random_bits(bits: u64) -> Result<BigUint, Fault> {
    let mut bytes = vec![0; usize::try_from(bits.div_ceil(8)).unwrap_or_default()];
    super::random::fill(&mut bytes)?;
    let spare = bytes.len() as u64 * 8 - bits;
    if let Some(first) = bytes.first_mut() {
        *first &= 0xff >> spare;
    }
    Ok(BigUint::from_bytes_be(&bytes))
}

/// The odd primes below 2000.
fn small_primes() -> Vec<u32> {
    let mut primes: Vec<u32> = Vec::new();
    for candidate in (3..2000).step_by(2) {
        if primes.iter().all(|prime| candidate % prime != 0) {
            primes.push(candidate);
        }
    }
    primes
}

/// Whether an odd number of hundreds of bits is prime.
fn is_prime(candidate: &BigUint, small: &[u32]) -> Result<bool, Fault> {
    let one = BigUint::from(1u8);
    let zero = BigUint::ZERO;
    if small.iter().any(|prime| candidate % *prime == zero) {
        return Ok(false);
    }
    let less = candidate - &one;
    let twos = less.trailing_zeros().unwrap_or_default();
    let odd = &less >> twos;
    'rounds: for round in 0..ROUNDS {
        let base = if round == 0 { BigUint::from(2u8) } else { random_bits(candidate.bits() - 1)? + 2u8 };
        let mut power = base.modpow(&odd, candidate);
        if power == one || power == less {
            continue;
        }
        for _ in 1..twos {
            power = &power * &power % candidate;
            if power == less {
                continue 'rounds;
            }
        }
        return Ok(false);
    }
    Ok(true)
}

/// A prime of exactly that many bits, its two highest set, so that a product of two has exactly twice as many.
fn prime(bits: u64, small: &[u32]) -> Result<BigUint, Fault> {
    loop {
        let mut candidate = random_bits(bits)?;
        for bit in [0, bits - 1, bits - 2] {
            candidate.set_bit(bit, true);
        }
        if is_prime(&candidate, small)? {
            return Ok(candidate);
        }
    }
}

/// A new RSA key in PKCS#1.
pub(super) fn rsa_key(bits: u64) -> Result<Vec<u8>, Fault> {
    let small = small_primes();
    let exponent = BigUint::from(65537u32);
    let one = BigUint::from(1u8);
    loop {
        let (mut p, mut q) = (prime(bits / 2, &small)?, prime(bits / 2, &small)?);
        if p < q {
            std::mem::swap(&mut p, &mut q);
        }
        let (p1, q1) = (&p - &one, &q - &one);
        let Some(d) = exponent.modinv(&(&p1 * &q1)) else { continue };
        let Some(coefficient) = q.modinv(&p) else { continue };
        let numbers = [BigUint::ZERO, &p * &q, exponent.clone(), d.clone(), p, q, &d % &p1, &d % &q1, coefficient];
        return Ok(numbers_der(&numbers));
    }
}

fn numbers_der(numbers: &[BigUint]) -> Vec<u8> {
    let parts: Vec<Vec<u8>> = numbers.iter().map(|number| unsigned(&number.to_bytes_be())).collect();
    sequence(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// A new DSA key of 2048 and 256 bits, in OpenSSL's form.
pub(super) fn dsa_key() -> Result<Vec<u8>, Fault> {
    let small = small_primes();
    let one = BigUint::from(1u8);
    let q = prime(256, &small)?;
    let double = &q * 2u8;
    let p = loop {
        let mut x = random_bits(2048)?;
        x.set_bit(2047, true);
        let candidate = &x - &x % &double + &one;
        if candidate.bits() == 2048 && is_prime(&candidate, &small)? {
            break candidate;
        }
    };
    let cofactor = (&p - &one) / &q;
    let g = (2u8..=255).map(|h| BigUint::from(h).modpow(&cofactor, &p)).find(|g| *g > one);
    let g = g.ok_or_else(|| Fault::new("no generator was found for the DSA key"))?;
    let x = random_bits(320)? % (&q - &one) + &one;
    let y = g.modpow(&x, &p);
    Ok(numbers_der(&[BigUint::ZERO, p, q, g, y, x]))
}
