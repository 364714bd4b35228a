//! Private keys in PEM that a password protects: PKCS#8 (RFC 5958), and the traditional form of OpenSSL.

use aes::{Aes128, Aes192, Aes256};
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt, KeyInit, KeyIvInit, block_padding::Pkcs7};
use des::TdesEde3;
use md5::{Digest, Md5};
use pkcs5::{EncryptionScheme, pbes2::Kdf};
use pkcs8::EncryptedPrivateKeyInfoRef;
use zeroize::Zeroizing;

use crate::service::credentials::certificate_error::CertificateError;

/// Six hundred thousand are recommended today, and take about a third of a second.
const MAX_ITERATIONS: u32 = 1_000_000;
/// The memory that scrypt takes, in bytes. OpenSSL asks for 16 MiB.
const MAX_MEMORY: u64 = 256 * 1024 * 1024;

/// Opens a key in PKCS#8.
pub(super) fn pkcs8(der: &[u8], password: &str) -> Result<Zeroizing<Vec<u8>>, CertificateError> {
    let info = EncryptedPrivateKeyInfoRef::try_from(der);
    let info = info.map_err(|_| CertificateError::UnsupportedEncryption)?;
    let EncryptionScheme::Pbes2(parameters) = &info.encryption_algorithm else {
        return Err(CertificateError::UnsupportedEncryption);
    };
    let allowed = match &parameters.kdf {
        Kdf::Pbkdf2(pbkdf2) => pbkdf2.iteration_count <= MAX_ITERATIONS,
        Kdf::Scrypt(scrypt) => {
            let memory = scrypt.cost_parameter.checked_mul(128 * u64::from(scrypt.block_size));
            memory.is_some_and(|memory| memory <= MAX_MEMORY) && scrypt.parallelization <= 16
        }
        _ => false,
    };
    if !allowed {
        return Err(CertificateError::UnsupportedEncryption);
    }
    opened(info.encryption_algorithm.decrypt(password, info.encrypted_data.as_bytes()).ok())
}

/// Opens a key in the traditional form, whose header `DEK-Info` has the cipher and its initialization vector.
pub(super) fn traditional(
    dek_info: &str,
    encrypted: &[u8],
    password: &str,
) -> Result<Zeroizing<Vec<u8>>, CertificateError> {
    let (cipher, vector) = dek_info.split_once(',').ok_or(CertificateError::Malformed)?;
    let vector = hex(vector.trim()).ok_or(CertificateError::Malformed)?;
    let key = |length| derived_key(password.as_bytes(), &vector, length).ok_or(CertificateError::Malformed);
    opened(match cipher.trim().to_ascii_uppercase().as_str() {
        "AES-128-CBC" => decrypt::<Aes128>(&key(16)?, &vector, encrypted),
        "AES-192-CBC" => decrypt::<Aes192>(&key(24)?, &vector, encrypted),
        "AES-256-CBC" => decrypt::<Aes256>(&key(32)?, &vector, encrypted),
        "DES-EDE3-CBC" => decrypt::<TdesEde3>(&key(24)?, &vector, encrypted),
        _ => return Err(CertificateError::UnsupportedEncryption),
    })
}

fn decrypt<C: BlockCipherDecrypt + KeyInit>(key: &[u8], vector: &[u8], encrypted: &[u8]) -> Option<Vec<u8>> {
    cbc::Decryptor::<C>::new_from_slices(key, vector).ok()?.decrypt_padded_vec::<Pkcs7>(encrypted).ok()
}

/// A wrong password often ends in wrong padding, and else in something that is not one whole ASN.1 sequence.
fn opened(decrypted: Option<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, CertificateError> {
    let decrypted = decrypted.map(Zeroizing::new).filter(|der| is_sequence(der));
    decrypted.ok_or(CertificateError::WrongPassword)
}

fn is_sequence(der: &[u8]) -> bool {
    let (length, rest) = match der {
        [0x30, 0x81, a, rest @ ..] => (usize::from(*a), rest),
        [0x30, 0x82, a, b, rest @ ..] => (usize::from(u16::from_be_bytes([*a, *b])), rest),
        [0x30, length @ ..=0x7f, rest @ ..] => (usize::from(*length), rest),
        _ => return false,
    };
    length == rest.len()
}

/// `EVP_BytesToKey` of OpenSSL with MD5 and one iteration; the salt is the start of the initialization vector.
fn derived_key(password: &[u8], vector: &[u8], length: usize) -> Option<Zeroizing<Vec<u8>>> {
    let salt = vector.get(..8)?;
    let mut key = Zeroizing::new(Vec::with_capacity(length + 16));
    let mut last = Zeroizing::new(Vec::new());
    while key.len() < length {
        let digest = Md5::new().chain_update(&*last).chain_update(password).chain_update(salt).finalize();
        *last = digest.to_vec();
        key.extend_from_slice(&last);
    }
    key.truncate(length);
    Some(key)
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.chars().map(|c| c.to_digit(16)).collect::<Option<Vec<_>>>()?;
    let pair = |pair: &[u32]| match pair {
        [high, low] => u8::try_from(high * 16 + low).ok(),
        _ => None,
    };
    digits.chunks(2).map(pair).collect()
}
