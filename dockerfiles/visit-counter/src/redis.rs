//! Redis as far as a counter needs it: one command, one answer, in RESP 2.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpStream, ToSocketAddrs};

/// One connection to REDIS_ADDRESS, such as `redis:6379`.
pub struct Redis(BufReader<TcpStream>);

impl Redis {
    pub fn connect() -> io::Result<Redis> {
        let address = env::var("REDIS_ADDRESS").unwrap_or_else(|_| "redis:6379".to_owned());
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for each in address.to_socket_addrs()? {
            match TcpStream::connect(each) {
                Ok(stream) => return Ok(Redis(BufReader::new(stream))),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Sends the words of a command and gives the first line of the answer without its sign.
    pub fn ask(&mut self, words: &[&str]) -> io::Result<String> {
        let mut command = format!("*{}\r\n", words.len());
        for word in words {
            command += &format!("${}\r\n{word}\r\n", word.len());
        }
        self.0.get_mut().write_all(command.as_bytes())?;
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        match line.strip_prefix(['+', ':']) {
            Some(answer) => Ok(answer.trim_end().to_owned()),
            None => Err(io::Error::other(line)),
        }
    }
}
