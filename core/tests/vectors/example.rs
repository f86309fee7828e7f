//! The worked example: real machines write exactly what is in the file and in the document.

use super::*;

struct End {
    letter: char,
    client: Client<Vec<u8>>,
    link: Option<LinkId>,
}

struct Stage {
    now: Instant,
    broker: Broker,
    written: Vec<(String, Vec<u8>)>,
}

impl Stage {
    fn end(letter: char, config: ClientConfig) -> End {
        let memory = vec![0; config.memory_needed()];
        End { letter, client: Client::new(config, memory).unwrap(), link: None }
    }

    fn connect(&mut self, end: &mut End) {
        end.link = Some(self.broker.handle_connected(self.now, 0).unwrap());
        end.client.handle_connected(self.now);
    }

    fn note(&mut self, end: &End, direction: &str, mut bytes: &[u8]) {
        while let Some(extent) = extent(bytes, 1 << 20).unwrap() {
            let (frame, rest) = bytes.split_at(extent.total());
            self.written.push((format!("{}-{direction}", end.letter), frame.to_vec()));
            bytes = rest;
        }
    }

    fn up(&mut self, end: &mut End) {
        let mut out = [0; 4096];
        let written = end.client.poll_transmit(self.now, &mut out).unwrap();
        self.note(end, "up", &out[..written]);
        self.broker.handle_input(self.now, end.link.unwrap(), &out[..written]).unwrap();
    }

    fn down(&mut self, end: &mut End) {
        let mut out = [0; 4096];
        let written = self.broker.poll_transmit(self.now, end.link.unwrap(), &mut out).unwrap();
        self.note(end, "down", &out[..written]);
        end.client.handle_input(self.now, &out[..written]);
        while end.client.poll_event().is_some() {}
    }

    fn send(&mut self, from: &mut End, payload: &[u8]) {
        let to = all_of(&[("room", Value::Str("lobby"))]);
        from.client.send(self.now, &Message::new(&to, payload)).unwrap();
    }
}

fn play() -> Vec<(String, Vec<u8>)> {
    let config = ClientConfig::new(Uuid::from_bytes(UUID_A), Secret(SECRET_A), BOOT_A, 1);
    let mut a = Stage::end('a', config);
    let config = ClientConfig::new(Uuid::from_bytes(UUID_B), Secret(SECRET_B), BOOT_B, 2);
    let mut b = Stage::end('b', config);
    let broker = Broker::new(BrokerConfig::new(0), EPOCH).unwrap();
    let mut stage = Stage { now: Instant::from_micros(1), broker, written: Vec::new() };
    b.client.set(stage.now, "room", Value::Str("lobby")).unwrap();
    for end in [&mut a, &mut b] {
        stage.connect(end);
        stage.up(end);
        stage.down(end);
    }
    for payloads in [[COO].as_slice(), &[b"one", b"two"]] {
        payloads.iter().for_each(|payload| stage.send(&mut a, payload));
        stage.up(&mut a);
        stage.down(&mut a);
        stage.down(&mut b);
        stage.up(&mut b);
        stage.down(&mut a);
        stage.up(&mut a);
    }
    stage.broker.handle_disconnected(stage.now, b.link.take().unwrap());
    b.client.handle_disconnected(stage.now);
    stage.send(&mut a, b"six");
    stage.up(&mut a);
    stage.down(&mut a);
    stage.now = stage.now + Duration::from_millis(10);
    stage.broker.handle_timeout(stage.now);
    stage.down(&mut a);
    stage.up(&mut a);
    stage.connect(&mut b);
    stage.up(&mut b);
    stage.down(&mut b);
    stage.up(&mut b);
    stage.down(&mut a);
    stage.up(&mut a);
    b.client.close(stage.now, Close::EndSession);
    stage.up(&mut b);
    stage.down(&mut b);
    assert!(b.client.is_closed() && a.client.unanswered().next().is_none());
    stage.written
}

#[test]
fn the_worked_example_is_what_the_machines_write() {
    let written = play();
    let all = vectors("conversation.txt");
    for (vector, (direction, frame)) in all.iter().zip(&written) {
        let found = (vector.direction.as_str(), to_hex(&vector.bytes));
        assert_eq!(found, (direction.as_str(), to_hex(frame)), "{}", vector.name);
        assert_eq!(vector.verdict, "valid");
        let up = direction.ends_with("up");
        let extent = extent(frame, 1 << 20).unwrap().unwrap();
        let body = &frame[extent.header..];
        assert_eq!(decode(up, body).map(|frame| mirror(&frame)).as_deref(), Ok(body));
    }
    assert_eq!(all.len(), written.len());
}

#[test]
fn the_document_shows_the_worked_example() {
    let document = std::fs::read_to_string(docs("PROTOCOL.md")).unwrap();
    let (_, example) = document.split_once("\n## Worked example\n").expect("the section");
    let example = example.split("\n## ").next().unwrap_or_default();
    // In the document the bytes of a frame stand in groups, on one line or several, behind its name.
    let mut shown: Vec<(String, String)> = Vec::new();
    let mut inside = false;
    for line in example.lines() {
        if line.starts_with("```") {
            inside = !inside;
        } else if inside && !line.trim().is_empty() {
            let hex: String = line.chars().skip(20).take(24).filter(|c| !c.is_whitespace()).collect();
            match line.split_whitespace().next().filter(|_| !line.starts_with(' ')) {
                Some(name) => shown.push((name.into(), hex)),
                None => shown.last_mut().unwrap().1.push_str(&hex),
            }
        }
    }
    let all: Vec<_> =
        vectors("conversation.txt").iter().map(|v| (v.name.clone(), to_hex(&v.bytes))).collect();
    assert_eq!(shown, all);
}

#[test]
fn the_document_has_the_sections_that_the_source_names() {
    let document = std::fs::read_to_string(docs("PROTOCOL.md")).unwrap();
    let sections: Vec<&str> = document
        .lines()
        .filter(|line| line.starts_with("##"))
        .map(|line| line.trim_start_matches(['#', ' ']))
        .collect();
    let mut folders = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut named = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            for section in source.split("PROTOCOL.md, \"").skip(1).filter_map(|rest| rest.split('"').next()) {
                named += 1;
                assert!(sections.contains(&section), "{}: {section}", path.display());
            }
        }
    }
    assert!(named > 0);
}
