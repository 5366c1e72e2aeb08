use super::*;

/// A target that answers every byte with the same byte, and a connection to it through a proxy.
async fn echo() -> (Proxy, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::default();
    move_target(&target, listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    let proxy = Proxy::start(target).await.unwrap();
    let stream = TcpStream::connect(proxy.address).await.unwrap();
    (proxy, stream)
}

async fn ask(stream: &mut TcpStream) -> std::io::Result<u8> {
    stream.write_all(b"?").await?;
    stream.read_u8().await
}

/// Long enough for what happens at once to happen.
const A_WHILE: Duration = Duration::from_millis(300);

#[tokio::test]
async fn what_a_hole_holds_back_comes_when_it_opens() {
    for weather in [Weather::Blackhole, Weather::AnswersLost] {
        let (proxy, mut stream) = echo().await;
        assert_eq!(ask(&mut stream).await.unwrap(), b'?');
        proxy.set(weather);
        assert!(tokio::time::timeout(A_WHILE, ask(&mut stream)).await.is_err(), "{weather:?}");
        proxy.set(Weather::Clear);
        assert_eq!(stream.read_u8().await.unwrap(), b'?', "{weather:?}");
    }
}

#[tokio::test]
async fn a_cut_is_a_reset_and_what_is_refused_is_reset() {
    let (proxy, mut stream) = echo().await;
    assert_eq!(ask(&mut stream).await.unwrap(), b'?');
    proxy.cut();
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    proxy.set(Weather::Refusing);
    let mut refused = TcpStream::connect(proxy.address).await.unwrap();
    assert!(ask(&mut refused).await.is_err());
    proxy.set(Weather::Clear);
    let mut again = TcpStream::connect(proxy.address).await.unwrap();
    assert_eq!(ask(&mut again).await.unwrap(), b'?');
}
