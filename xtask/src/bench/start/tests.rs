use super::*;

#[test]
fn the_address_is_read_from_the_server_file() {
    assert_eq!(address(r#"{"url":"http://127.0.0.1:7117/","pid":1}"#).as_deref(), Some("127.0.0.1:7117"));
    assert_eq!(address(r#"{"url":"http://127.0.0.1:7117"}"#).as_deref(), Some("127.0.0.1:7117"));
    assert_eq!(address("{"), None, "half written");
}

#[test]
fn the_memory_is_read_from_the_status() {
    assert_eq!(resident("VmPeak:\t 9 kB\nVmRSS:\t   21504 kB\n"), Some(21504 * 1024));
    assert_eq!(resident("Name:\teve\n"), None);
    assert_eq!(megabytes(21504 * 1024), "22.0 MB");
}

#[test]
fn the_median_is_in_the_middle() {
    let times = [1, 2, 9].map(Duration::from_millis);
    assert_eq!(median(&times), Duration::from_millis(2));
    assert_eq!(median(&[]), Duration::ZERO);
}

#[test]
fn only_a_200_is_ready() {
    for (answer, ready) in [("HTTP/1.1 200 OK\r\n\r\n", true), ("HTTP/1.1 503 Service Unavailable\r\n\r\n", false)] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // All of it: closing a connection that holds unread bytes resets it, and the answer may be lost.
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut part = [0; 1024];
                let length = stream.read(&mut part).unwrap();
                assert_ne!(length, 0, "the request ends in the middle");
                request.extend_from_slice(&part[..length]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&request).into_owned()
        });
        assert_eq!(answers(&address).unwrap(), ready);
        assert!(server.join().unwrap().starts_with("GET /readyz HTTP/1.1\r\n"));
    }
}
