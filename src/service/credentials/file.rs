//! Files that credentials are in: certificates, and tokens that another program keeps renewing.

use std::{
    fs::OpenOptions,
    io::{self, Read},
    path::Path,
};

use zeroize::Zeroizing;

/// Reads a regular file, or what symbolic links to one lead to: Kubernetes projects tokens by such links. It never
/// waits: a named pipe without a writer is opened without waiting for one, and refused. What is judged is the file that
/// is open, so it does not matter what takes its place in the meantime.
pub(in crate::service) fn read_file(path: &Path, limit: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(posix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK | libc::O_NOCTTY);
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    // With room for all of it, no copy of a secret is left where the buffer has grown.
    let expected = usize::try_from(metadata.len()).unwrap_or(limit).min(limit);
    let mut bytes = Zeroizing::new(Vec::with_capacity(expected + 1));
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        let text = format!("it is longer than {limit} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_of_a_limited_length_are_read() {
        let folder = std::env::temp_dir().join(format!("hubwire-file-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("token");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read_file(&path, 5).unwrap().as_slice(), b"12345");
        assert!(read_file(&path, 4).unwrap_err().to_string().contains("longer than 4 bytes"));
        assert!(read_file(&folder, 5).is_err());
        assert_eq!(read_file(&folder.join("none"), 5).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[cfg(posix)]
    #[test]
    fn a_pipe_and_a_device_are_refused_and_a_link_is_followed() {
        let folder = std::env::temp_dir().join(format!("hubwire-pipe-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (pipe, file, link) = (folder.join("pipe"), folder.join("file"), folder.join("link"));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        std::fs::write(&file, "token").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(read_file(&link, 9).unwrap().as_slice(), b"token");
        // Nobody writes to it, so this would wait for ever.
        for path in [pipe.as_path(), Path::new("/dev/zero")] {
            assert!(read_file(path, 9).unwrap_err().to_string().contains("not a regular file"));
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
