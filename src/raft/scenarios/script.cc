#include "raft/scenarios/script.h"

#include <cctype>
#include <charconv>
#include <utility>

#include "base/text.h"

namespace keelson::raft::scenarios {
namespace {

constexpr std::string_view kSeparator = "----";

std::string trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return "";
  return std::string(text.substr(first, text.find_last_not_of(" \t\r\n") + 1 - first));
}

// The lines of a file, one after another.
class LineReader {
 public:
  explicit LineReader(std::string_view text) : rest_(text) {}

  bool next(std::string* line) {
    if (rest_.empty()) return false;
    const size_t end = rest_.find('\n');
    *line = std::string(rest_.substr(0, end));
    rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
    ++number_;
    return true;
  }
  int number() const { return number_; }

 private:
  std::string_view rest_;
  int number_ = 0;
};

// Cuts the next word off; a parenthesized value may contain spaces.
std::string cut_word(std::string_view* text) {
  while (!text->empty() && text->front() == ' ') text->remove_prefix(1);
  size_t end = 0;
  int depth = 0;
  for (; end < text->size(); ++end) {
    const char c = (*text)[end];
    if (c == '(') ++depth;
    if (c == ')') --depth;
    if (c == ' ' && depth == 0) break;
  }
  std::string word(text->substr(0, end));
  text->remove_prefix(end);
  return word;
}

std::vector<std::string> split_values(std::string_view text) {
  if (text.size() <= 2 || text.front() != '(' || text.back() != ')') return {std::string(text)};
  text = text.substr(1, text.size() - 2);
  std::vector<std::string> values;
  for (;;) {
    const size_t comma = text.find(',');
    values.push_back(trim(text.substr(0, comma)));
    if (comma == std::string_view::npos) return values;
    text.remove_prefix(comma + 1);
  }
}

Command parse_command(std::string_view line, int number) {
  Command command;
  command.line = number;
  command.text = trim(line);
  command.name = cut_word(&line);
  for (std::string word; !(word = cut_word(&line)).empty();) {
    const size_t equals = word.find('=');
    Argument argument{word.substr(0, equals), {}};
    if (equals != std::string::npos) {
      argument.values = split_values(std::string_view(word).substr(equals + 1));
    }
    command.arguments.push_back(std::move(argument));
  }
  return command;
}

// Output with blank lines, after its opening pair of separators.
absl::StatusOr<std::string> read_framed(LineReader& lines) {
  std::string output;
  std::string line;
  while (lines.next(&line)) {
    if (line == kSeparator) {
      std::string second;
      if (!lines.next(&second)) break;
      if (second == kSeparator) {
        if (lines.next(&line) && !line.empty()) {
          return absl::InvalidArgumentError(
              cat("line ", lines.number(), ": blank line expected after the closing ----"));
        }
        return output;
      }
      output += line + "\n" + second + "\n";
      continue;
    }
    output += line + "\n";
  }
  return output;
}

absl::StatusOr<std::string> read_expected(LineReader& lines) {
  std::string output;
  std::string line;
  bool more = lines.next(&line);
  if (more && line == kSeparator) return read_framed(lines);
  while (more && !trim(line).empty()) {
    output += line + "\n";
    more = lines.next(&line);
  }
  return output;
}

bool has_blank_line(const std::string& output) {
  LineReader lines(output);
  for (std::string line; lines.next(&line);) {
    if (trim(line).empty()) return true;
  }
  return false;
}

std::string difference(const Command& command, const std::string& actual) {
  return cat("line ", command.line, ": ", command.text, "\nexpected:\n", command.expected,
             "actual:\n", actual);
}

}  // namespace

const std::string* Command::find(std::string_view key) const {
  for (const Argument& argument : arguments) {
    if (argument.key == key && !argument.values.empty()) return &argument.values[0];
  }
  return nullptr;
}

absl::StatusOr<Script> parse_script(std::string_view text) {
  Script script;
  LineReader lines(text);
  std::string before;
  for (std::string line; lines.next(&line);) {
    before += line + "\n";
    if (line.starts_with('#') || trim(line).empty()) continue;
    const int number = lines.number();
    for (std::string more; line.ends_with('\\') && lines.next(&more);) {
      before += more + "\n";
      line = cat(std::string_view(line).substr(0, line.size() - 1), " ", trim(more));
    }
    Script::Piece piece;
    piece.command = parse_command(line, number);
    while (lines.next(&line)) {
      if (line == kSeparator) {
        piece.has_output = true;
        break;
      }
      before += line + "\n";
      piece.command.input += line + "\n";
    }
    piece.command.input = trim(piece.command.input);
    piece.before = std::exchange(before, "");
    if (piece.has_output) {
      absl::StatusOr<std::string> expected = read_expected(lines);
      if (!expected.ok()) return expected.status();
      piece.command.expected = *std::move(expected);
    }
    script.pieces.push_back(std::move(piece));
  }
  if (!before.empty()) script.pieces.push_back({.before = std::move(before), .command = {}});
  return script;
}

std::string framed_output(const std::string& output) {
  if (!has_blank_line(output)) return "----\n" + output + "\n";
  return "----\n----\n" + output + "----\n----\n\n";
}

Outcome run_script(const Script& script, const Handler& handler) {
  Outcome outcome;
  for (const Script::Piece& piece : script.pieces) {
    outcome.rewritten += piece.before;
    if (piece.command.name.empty()) continue;
    ++outcome.commands;
    absl::StatusOr<std::string> output = handler(piece.command);
    if (!output.ok()) {
      outcome.differences.push_back(cat("line ", piece.command.line, ": ", piece.command.text, ": ",
                                        message_of(output.status())));
      outcome.rewritten += framed_output(piece.command.expected);
      continue;
    }
    std::string actual = *std::move(output);
    if (!actual.empty() && !actual.ends_with('\n')) actual += "\n";
    if (actual != piece.command.expected) {
      outcome.differences.push_back(difference(piece.command, actual));
    }
    outcome.rewritten += framed_output(actual);
  }
  // The blank line after the last output is the end of the file.
  while (outcome.rewritten.ends_with("\n\n")) outcome.rewritten.pop_back();
  return outcome;
}

absl::StatusOr<uint64_t> parse_number(std::string_view text) {
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    return absl::InvalidArgumentError(cat("not a number: ", text));
  }
  return value;
}

absl::StatusOr<bool> parse_bool(std::string_view text) {
  for (std::string_view yes : {"1", "t", "T", "TRUE", "true", "True"}) {
    if (text == yes) return true;
  }
  for (std::string_view no : {"0", "f", "F", "FALSE", "false", "False"}) {
    if (text == no) return false;
  }
  return absl::InvalidArgumentError(
      cat("strconv.ParseBool: parsing \"", text, "\": invalid syntax"));
}

}  // namespace keelson::raft::scenarios
