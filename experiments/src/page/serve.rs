//! The page for the browser of this machine, and of no other.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use hstep::Error;

use super::data::Page;
use super::html;
use crate::output::say;

/// The longest request that is read, in bytes.
const MAX_REQUEST: u64 = 8_192;
/// How long a browser may take to ask, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Folders are not read again before.
const FRESH: Duration = Duration::from_secs(3);

/// Serves the page about the runs among and below `paths` until the process is ended.
pub fn watch(paths: &[PathBuf], port: u16) -> Result<()> {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let socket = socket.map_err(Error::io("cannot listen at", format!("127.0.0.1:{port}")))?;
    let port = socket.local_addr()?.port();
    say!("http://127.0.0.1:{port}/ follows the runs; Ctrl-C ends it")?;
    let mut server = Server { paths, port, page: None };
    for stream in socket.incoming() {
        // A browser that left is its own affair.
        if let Err(error) = stream.map_err(Into::into).and_then(|stream| server.answer(&stream)) {
            tracing::debug!("a request was not answered: {error}");
        }
    }
    Ok(())
}

struct Server<'a> {
    paths: &'a [PathBuf],
    port: u16,
    page: Option<(Instant, Page)>,
}

impl Server<'_> {
    fn page(&mut self) -> &Page {
        if self.page.as_ref().is_some_and(|(read, _)| read.elapsed() > FRESH) {
            self.page = None;
        }
        &self.page.get_or_insert_with(|| (Instant::now(), Page::collect(self.paths, true))).1
    }

    fn answer(&mut self, stream: &TcpStream) -> Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut lines = BufReader::new(stream.take(MAX_REQUEST)).lines();
        let first = lines.next().transpose()?.unwrap_or_default();
        let mut host = None;
        for line in lines.by_ref() {
            let line = line?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            if name.eq_ignore_ascii_case("host") {
                host = Some(value.trim().to_owned());
            }
        }
        let (status, kind, body) = self.reply(&first, host.as_deref())?;
        let mut stream = stream;
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\nConnection: close\r\n\r\n",
            body.len()
        )?;
        Ok(stream.write_all(body.as_bytes())?)
    }

    /// Status, type and body. A name that another site has pointed at this machine is refused: its pages would
    /// read the runs.
    fn reply(
        &mut self,
        request: &str,
        host: Option<&str>,
    ) -> Result<(&'static str, &'static str, String)> {
        let plain = |status, text: &str| Ok((status, "text/plain", text.to_owned()));
        let own = [format!("127.0.0.1:{}", self.port), format!("localhost:{}", self.port)];
        if !host.is_some_and(|host| own.iter().any(|own| own == host)) {
            return plain("403 Forbidden", "this page is for the browser of this machine\n");
        }
        match request.split(' ').collect::<Vec<_>>()[..] {
            ["GET", "/", _] => Ok(("200 OK", "text/html", html(self.page())?)),
            ["GET", "/data.json", _] => {
                Ok(("200 OK", "application/json", serde_json::to_string(self.page())?))
            }
            ["GET", ..] => plain("404 Not Found", "there is / and /data.json\n"),
            _ => plain("405 Method Not Allowed", "there is GET alone\n"),
        }
    }
}
