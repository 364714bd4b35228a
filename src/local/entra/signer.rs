//! The RSA key that signs the tokens of the authority, as Entra's are signed.
//!
//! It is derived from the access key of the service, so that the tokens that applications keep for an hour are good after a
//! restart. *ring* signs and verifies, but makes no RSA keys; the two primes are looked for here.
//!
//! Sources: [RFC 7517](https://www.rfc-editor.org/rfc/rfc7517), [RFC 7638](https://www.rfc-editor.org/rfc/rfc7638).

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use base64ct::{Base64UrlUnpadded as Base64Url, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use num_bigint::BigUint;
use ring::{
    rand::SystemRandom,
    rsa::{KeyPairComponents, PublicKeyComponents},
    signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents},
};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::{
    local::keys::EMULATOR_ACCESS_KEY,
    service::{
        jwt::{
            Token, Validity, payload,
            verify::{TokenError, check_claims},
        },
        secret::Secret,
    },
};

/// The public exponent of all RSA keys that matter.
const EXPONENT: u32 = 65_537;

/// Where the primes are for the emulator's access key, which is public and the default: so many odd numbers behind where the
/// search begins. Without optimization, a search takes seconds.
const EMULATOR_STEPS: [u32; 2] = [308, 825];

/// Only smaller factors are looked for by division.
const SMALL: u32 = 8192;

pub(super) struct Signer {
    pair: RsaKeyPair,
    modulus: Vec<u8>,
    id: String,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.id)
    }
}

impl Signer {
    /// The key for an access key. It can take a while.
    pub(super) fn of(access_key: &Secret) -> Arc<Self> {
        static EMULATOR: OnceLock<Arc<Signer>> = OnceLock::new();
        if access_key.expose() == EMULATOR_ACCESS_KEY {
            let of_emulator = || Arc::new(Self::derive(access_key, EMULATOR_STEPS));
            EMULATOR.get_or_init(of_emulator).clone()
        } else {
            Arc::new(Self::derive(access_key, [0, 0]))
        }
    }

    fn derive(access_key: &Secret, from_steps: [u32; 2]) -> Self {
        let [(p, _), (q, _)] = primes(access_key, from_steps);
        let (p, q) = if p > q { (p, q) } else { (q, p) };
        let (one, e) = (BigUint::from(1u8), BigUint::from(EXPONENT));
        let (below_p, below_q) = (&p - &one, &q - &one);
        let invertible = "the primes are chosen so that it has an inverse";
        let d = e.modinv(&(&below_p * &below_q)).expect(invertible);
        let (modulus, bytes) = ((&p * &q).to_bytes_be(), |number: &BigUint| number.to_bytes_be());
        let pair = RsaKeyPair::from_components(&KeyPairComponents {
            public_key: PublicKeyComponents { n: modulus.clone(), e: bytes(&e) },
            d: bytes(&d),
            dP: bytes(&(&d % &below_p)),
            dQ: bytes(&(&d % &below_q)),
            qInv: bytes(&q.modinv(&p).expect(invertible)),
            p: bytes(&p),
            q: bytes(&q),
        });
        let id = thumbprint(&modulus);
        Self { pair: pair.expect("two primes of 1024 bits make an RSA key"), modulus, id }
    }

    /// The `kid` of its tokens.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn sign(
        &self,
        issuer: &str,
        claims: &[(&str, &str)],
        validity: Validity,
        audience: &str,
    ) -> String {
        let header = json!({ "typ": "JWT", "alg": "RS256", "kid": self.id }).to_string();
        let payload = payload(issuer, claims.iter().copied(), validity, audience);
        let (header, payload) =
            (Base64Url::encode_string(header.as_bytes()), Base64Url::encode_string(&payload));
        let signed = format!("{header}.{payload}");
        let mut signature = vec![0; self.pair.public().modulus_len()];
        let made = self.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature);
        // It fails only for a key that is not one.
        made.expect("an RSA key signs");
        format!("{signed}.{}", Base64Url::encode_string(&signature))
    }

    /// Checks a token's signature, times and audience, in this order, and gives its claims.
    pub(super) fn verify(
        &self,
        token: &str,
        now: u64,
        accepts_audience: impl Fn(&str) -> bool,
    ) -> Result<Map<String, Value>, TokenError> {
        let token = Token::parse(token).ok_or(TokenError::Malformed)?;
        if token.header_text("alg") != Some("RS256") {
            return Err(TokenError::Algorithm);
        }
        RsaPublicKeyComponents { n: self.modulus.as_slice(), e: exponent().as_slice() }
            .verify(&RSA_PKCS1_2048_8192_SHA256, token.signed.as_bytes(), &token.signature)
            .map_err(|_| TokenError::Signature)?;
        check_claims(&token.claims, now, accepts_audience)?;
        Ok(token.claims)
    }

    /// Its public half, for who verifies tokens.
    pub(super) fn jwk(&self) -> Value {
        let (n, e) = (Base64Url::encode_string(&self.modulus), Base64Url::encode_string(&exponent()));
        json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.id, "n": n, "e": e })
    }
}

fn exponent() -> [u8; 3] {
    let [_, bytes @ ..] = EXPONENT.to_be_bytes();
    bytes
}

/// The name of a public key that says the same everywhere.
fn thumbprint(modulus: &[u8]) -> String {
    let (n, e) = (Base64Url::encode_string(modulus), Base64Url::encode_string(&exponent()));
    let members = format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#);
    Base64Url::encode_string(&Sha256::digest(members.as_bytes()))
}

/// Two primes of 1024 bits, and how many steps from the beginning each of them is. They are looked for on two threads.
fn primes(access_key: &Secret, from_steps: [u32; 2]) -> [(BigUint, u32); 2] {
    std::thread::scope(|scope| {
        let second = scope.spawn(|| prime(start(access_key, 1), from_steps[1]));
        let first = prime(start(access_key, 0), from_steps[0]);
        [first, second.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))]
    })
}

/// Where the search for a prime begins: an odd number that looks random. Its two highest bits are set, so that the product
/// of two of them has 2048 bits.
fn start(access_key: &Secret, which: u8) -> BigUint {
    let mac = Hmac::<Sha256>::new_from_slice(access_key.expose().as_bytes());
    let mac = mac.expect("HMAC takes keys of any length");
    let mac = mac.chain_update(b"hubwire local service: key of the Entra authority");
    let blocks = (0..4u8).flat_map(|n| mac.clone().chain_update([which, n]).finalize().into_bytes());
    let mut number = BigUint::from_bytes_be(&blocks.collect::<Vec<_>>());
    for bit in [1023, 1022, 0] {
        number.set_bit(bit, true);
    }
    number
}

/// The first prime from a number on that suits the exponent, and how many odd numbers were left behind.
fn prime(start: BigUint, from_step: u32) -> (BigUint, u32) {
    let factors: Vec<_> = small_primes().map(|factor| (factor, remainder(&start, factor))).collect();
    let of_exponent = remainder(&start, EXPONENT);
    let found = (from_step..).find_map(|step| {
        let has_factor = factors.iter().any(|(factor, rest)| (rest + 2 * (step % factor)) % factor == 0);
        let suits = (of_exponent + 2 * (step % EXPONENT)) % EXPONENT != 1;
        let number = (!has_factor && suits).then(|| &start + 2 * u64::from(step))?;
        is_prime(&number).then_some((number, step))
    });
    found.expect("there are primes of any size")
}

/// Without 2.
fn small_primes() -> impl Iterator<Item = u32> {
    (3..SMALL).step_by(2).filter(|&n| (3..).step_by(2).take_while(|f| f * f <= n).all(|f| n % f != 0))
}

fn remainder(number: &BigUint, by: u32) -> u32 {
    u32::try_from(number % by).unwrap_or_default()
}

/// Whether a large odd number is prime (Miller and Rabin). Of numbers that nobody has chosen, few bases tell.
fn is_prime(number: &BigUint) -> bool {
    let one = BigUint::from(1u8);
    let below = number - &one;
    let twos = below.trailing_zeros().unwrap_or_default();
    let odd = &below >> twos;
    [2u8, 3].into_iter().all(|base| {
        let mut power = BigUint::from(base).modpow(&odd, number);
        let mut seen = power == one || power == below;
        for _ in 1..twos {
            power = &power * &power % number;
            seen |= power == below;
        }
        seen
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emulator_key() -> Secret {
        Secret::new(EMULATOR_ACCESS_KEY)
    }

    #[test]
    fn the_primes_of_the_emulators_key_are_where_they_are_said_to_be() {
        assert_eq!(primes(&emulator_key(), [0, 0]).map(|(_, step)| step), EMULATOR_STEPS);
    }

    #[test]
    fn primes_are_told_from_other_numbers() {
        let number = |text: &str| text.parse::<BigUint>().expect("a number");
        // 2^127-1 and 2^521-1 are prime; then 2^128+1, a product of two primes, and a strong pseudoprime to the base 2.
        assert!(is_prime(&number("170141183460469231731687303715884105727")));
        assert!(is_prime(&((BigUint::from(1u8) << 521) - 1u8)));
        assert!(!is_prime(&((BigUint::from(1u8) << 128) + 1u8)));
        for text in ["1000036000099", "2047", "1373653"] {
            let is_trap = text == "1373653";
            // The last is one to the bases 2 and 3; numbers of its size are not looked at.
            assert_eq!(is_prime(&number(text)), is_trap, "{text}");
        }
        assert_eq!(small_primes().take(5).collect::<Vec<_>>(), [3, 5, 7, 11, 13]);
        assert_eq!(small_primes().count(), 1027);
        assert_eq!(prime(BigUint::from(1_000_000_001u64), 0), (BigUint::from(1_000_000_007u64), 3));
    }

    #[test]
    fn a_key_is_the_same_again_and_differs_for_another_access_key() {
        let (one, again) = (Signer::of(&emulator_key()), Signer::derive(&emulator_key(), EMULATOR_STEPS));
        assert_eq!((one.id(), one.jwk()), (again.id(), again.jwk()));
        assert_eq!(one.pair.public().modulus_len(), 256);
        let validity = Validity { issued_at: 1000, expires_at: 2000 };
        let token = one.sign("i", &[("tid", "t")], validity, "a");
        let claims = again.verify(&token, 1500, |audience| audience == "a").expect("a good token");
        assert_eq!((claims["iss"].as_str(), claims["tid"].as_str()), (Some("i"), Some("t")));
        assert_eq!(again.verify(&token, 2000, |_| true), Err(TokenError::Expired));
        assert_eq!(again.verify(&token, 1500, |_| false), Err(TokenError::Audience));
        let (signed, _) = token.rsplit_once('.').expect("three parts");
        let (_, signature) = one
            .sign("j", &[], validity, "a")
            .rsplit_once('.')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .expect("three parts");
        assert_eq!(
            again.verify(&format!("{signed}.{signature}"), 1500, |_| true),
            Err(TokenError::Signature)
        );
        assert_ne!(start(&emulator_key(), 0), start(&Secret::new("other"), 0));
        assert_ne!(start(&emulator_key(), 0), start(&emulator_key(), 1));
    }
}
