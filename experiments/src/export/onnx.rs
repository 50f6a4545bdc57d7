//! ONNX files: a graph of operations, its weights and its words, as protocol buffers.
//!
//! The format is small (the fields below are all that is used of `onnx.proto3`), and version 8 with operations of
//! version 17 is read by every runtime since 2022.

const IR: u64 = 8;
const OPERATIONS: u64 = 17;
/// `TensorProto.FLOAT`.
const FLOAT: u64 = 1;
/// `TensorProto.INT64`.
const INT64: u64 = 7;

/// A message of protocol buffers.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut x: u64) {
        while x >= 0x80 {
            self.0.push(x as u8 | 0x80);
            x >>= 7;
        }
        self.0.push(x as u8);
    }

    fn number(&mut self, field: u64, x: u64) -> &mut Self {
        self.varint(field << 3);
        self.varint(x);
        self
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) -> &mut Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(&mut self, field: u64, text: &str) -> &mut Self {
        self.bytes(field, text.as_bytes())
    }

    fn message(&mut self, field: u64, other: &Self) -> &mut Self {
        self.bytes(field, &other.0)
    }
}

/// A graph under construction. Values are called by their names.
#[derive(Default)]
pub struct Graph {
    nodes: Vec<Message>,
    weights: Vec<Message>,
    inputs: Vec<Message>,
    outputs: Vec<Message>,
    names: usize,
}

/// A length that is known, or the number of rows.
#[derive(Clone, Copy)]
pub enum Dim {
    Rows,
    Of(usize),
}

impl Graph {
    fn tensor(&mut self, name: &str, dims: &[usize], kind: u64, raw: &[u8]) -> String {
        let mut tensor = Message::default();
        for dim in dims {
            tensor.number(1, *dim as u64);
        }
        tensor.number(2, kind).text(8, name).bytes(9, raw);
        self.weights.push(tensor);
        name.to_owned()
    }

    /// Numbers that stay as they are.
    pub fn weight(&mut self, name: &str, dims: &[usize], numbers: &[f32]) -> String {
        let raw: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.tensor(name, dims, FLOAT, &raw)
    }

    /// One number.
    pub fn number(&mut self, x: f64) -> String {
        self.names += 1;
        let name = format!("c{}", self.names);
        self.weight(&name, &[], &[x as f32])
    }

    /// Whole numbers, such as a shape.
    pub fn integers(&mut self, all: &[i64]) -> String {
        self.names += 1;
        let raw: Vec<u8> = all.iter().flat_map(|x| x.to_le_bytes()).collect();
        let name = format!("i{}", self.names);
        self.tensor(&name, &[all.len()], INT64, &raw)
    }

    /// An operation of one result; `axis` is an attribute of that name.
    fn node(&mut self, operation: &str, inputs: &[&str], axis: Option<i64>) -> String {
        self.names += 1;
        let result = format!("{}{}", operation.to_lowercase(), self.names);
        self.named(operation, inputs, axis, &result);
        result
    }

    fn named(&mut self, operation: &str, inputs: &[&str], axis: Option<i64>, result: &str) {
        let mut node = Message::default();
        for input in inputs {
            node.text(1, input);
        }
        node.text(2, result).text(4, operation);
        if let Some(axis) = axis {
            let mut attribute = Message::default();
            attribute.text(1, "axis").number(3, axis as u64).number(20, 2);
            node.message(5, &attribute);
        }
        self.nodes.push(node);
    }

    /// `Relu`, `MatMul`, `Add`, ...
    pub fn apply(&mut self, operation: &str, inputs: &[&str]) -> String {
        self.node(operation, inputs, None)
    }

    /// Side by side along the last axis.
    pub fn concat(&mut self, inputs: &[&str]) -> String {
        self.node("Concat", inputs, Some(-1))
    }

    /// Columns `from..to` of the last axis.
    pub fn columns(&mut self, x: &str, from: usize, to: usize) -> String {
        let [starts, ends, axes] = [from as i64, to as i64, -1].map(|i| self.integers(&[i]));
        self.node("Slice", &[x, &starts, &ends, &axes], None)
    }

    /// Without the last axis, of length 1.
    pub fn squeeze_last(&mut self, x: &str) -> String {
        let axes = self.integers(&[-1]);
        self.node("Squeeze", &[x, &axes], None)
    }

    fn value(name: &str, dims: &[Dim]) -> Message {
        let mut shape = Message::default();
        for dim in dims {
            let mut one = Message::default();
            match dim {
                Dim::Rows => one.text(2, "rows"),
                Dim::Of(n) => one.number(1, *n as u64),
            };
            shape.message(1, &one);
        }
        let (mut tensor, mut kind, mut value) =
            (Message::default(), Message::default(), Message::default());
        tensor.number(1, FLOAT).message(2, &shape);
        kind.message(1, &tensor);
        value.text(1, name).message(2, &kind);
        value
    }

    /// What the graph is given.
    pub fn input(&mut self, name: &str, dims: &[Dim]) -> String {
        self.inputs.push(Self::value(name, dims));
        name.to_owned()
    }

    /// What it gives.
    pub fn output(&mut self, name: &str, x: &str, dims: &[Dim]) {
        self.named("Identity", &[x], None, name);
        self.outputs.push(Self::value(name, dims));
    }

    /// The file's bytes; `words` are its metadata.
    pub fn finish(self, name: &str, words: &[(&str, String)]) -> Vec<u8> {
        let mut graph = Message::default();
        for node in &self.nodes {
            graph.message(1, node);
        }
        graph.text(2, name);
        for (field, all) in [(5, &self.weights), (11, &self.inputs), (12, &self.outputs)] {
            for one in all {
                graph.message(field, one);
            }
        }
        let (mut operations, mut model) = (Message::default(), Message::default());
        operations.text(1, "").number(2, OPERATIONS);
        model.number(1, IR).text(2, "hstep").text(3, env!("CARGO_PKG_VERSION"));
        model.message(7, &graph).message(8, &operations);
        for (key, value) in words {
            let mut word = Message::default();
            word.text(1, key).text(2, value);
            model.message(14, &word);
        }
        model.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_messages_are_written_as_protocol_buffers() {
        let mut message = Message::default();
        message.number(1, 150).text(2, "hi");
        // The example of the format's documentation, and a string.
        assert_eq!(message.0, [0x08, 0x96, 0x01, 0x12, 2, b'h', b'i']);
        let mut negative = Message::default();
        negative.number(3, -1i64 as u64);
        assert_eq!(negative.0.len(), 11);
    }
}
