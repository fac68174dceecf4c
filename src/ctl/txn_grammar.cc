#include "ctl/txn_grammar.h"

#include "base/text.h"
#include "ctl/gotext.h"
#include "ctl/kv_requests.h"
#include "ctl/outcome.h"

namespace keelson::ctl {
namespace {

constexpr std::string_view kBlank = " \t\n\v\f\r";

absl::Status bad_line(std::string_view text) { return failure(ExitCode::kInvalidInput, text); }

// The length of a complete quoted word at the front, 0 if the quote is never closed.
size_t quoted_length(std::string_view text) {
  char quote = text.front();
  for (size_t i = 1; i < text.size(); ++i) {
    if (text[i] == quote) return i + 1;
    if (quote == '"' && text[i] == '\\') ++i;
  }
  return 0;
}

void skip_blanks(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
}

// What a condition is made of, as far as it could be read.
struct Condition {
  std::string target, key, op, value;
  bool complete = false;
};

Condition scan_condition(std::string_view target, std::string_view rest) {
  Condition c{std::string(target), "", "", "", false};
  skip_blanks(rest);
  auto key = take_quoted(rest);
  if (!key.ok()) return c;
  c.key = *key;
  if (rest.empty() || rest.front() != ')') return c;
  rest.remove_prefix(1);
  if (rest.empty() || kBlank.find(rest.front()) == std::string_view::npos) return c;
  skip_blanks(rest);
  size_t end = std::min(rest.find_first_of(kBlank), rest.size());
  if (end == 0) return c;
  c.op = std::string(rest.substr(0, end));
  rest.remove_prefix(end);
  skip_blanks(rest);
  auto value = take_quoted(rest);
  if (!value.ok()) return c;
  c.value = *value;
  c.complete = true;
  return c;
}

absl::StatusOr<pb::Compare::CompareResult> compare_result(std::string_view op) {
  if (op == "=") return pb::Compare::EQUAL;
  if (op == "!=") return pb::Compare::NOT_EQUAL;
  if (op == ">") return pb::Compare::GREATER;
  if (op == "<") return pb::Compare::LESS;
  // etcdctl panics here, which ends with this code too.
  return failure(ExitCode::kBadConnection, "Unknown result op");
}

// Fills in target and value; false if the value is no number where one is needed.
absl::StatusOr<bool> set_target(const Condition& c, std::string_view line, pb::Compare& compare) {
  if (c.target == "val" || c.target == "value") {
    compare.set_target(pb::Compare::VALUE);
    compare.set_value(c.value);
    return true;
  }
  bool lease = c.target == "lease";
  auto number = parse_int(c.value, lease ? 16 : 10);
  int64_t value = number.value_or(0);
  if (c.target == "ver" || c.target == "version") {
    compare.set_target(pb::Compare::VERSION);
    compare.set_version(value);
  } else if (c.target == "c" || c.target == "create") {
    compare.set_target(pb::Compare::CREATE);
    compare.set_create_revision(value);
  } else if (c.target == "m" || c.target == "mod") {
    compare.set_target(pb::Compare::MOD);
    compare.set_mod_revision(value);
  } else if (lease) {
    compare.set_target(pb::Compare::LEASE);
    compare.set_lease(value);
  } else {
    return bad_line(cat("malformed comparison: ", line, " (unknown target ", c.target, ")"));
  }
  return number.ok();
}

enum class Verb { kNone, kPut, kGet, kDel };

Verb verb_of(std::string_view word) {
  // As with commands, a unique beginning is enough.
  for (auto [name, verb] : {std::pair<std::string_view, Verb>{"put", Verb::kPut},
                            {"get", Verb::kGet},
                            {"del", Verb::kDel}}) {
    if (!word.empty() && name.substr(0, word.size()) == word) return verb;
  }
  return Verb::kNone;
}

absl::StatusOr<pb::RequestOp> build(Verb verb, const FlagSet& flags, std::string* warning) {
  pb::RequestOp op;
  if (verb == Verb::kPut) {
    auto request = put_request(flags, nullptr);
    if (!request.ok()) return request.status();
    *op.mutable_request_put() = *std::move(request);
  } else if (verb == Verb::kGet) {
    auto request = range_request(flags);
    if (!request.ok()) return request.status();
    *op.mutable_request_range() = *std::move(request);
  } else {
    auto request = delete_request(flags, warning);
    if (!request.ok()) return request.status();
    *op.mutable_request_delete_range() = *std::move(request);
  }
  return op;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> argify(std::string_view line) {
  std::vector<std::string> words;
  while (!line.empty()) {
    char c = line.front();
    bool quote = c == '"' || c == '\'';
    size_t length = quote ? quoted_length(line) : std::min(line.find_first_of(kBlank), line.size());
    if (length == 0) {  // a blank, or a quote that nothing closes
      line.remove_prefix(1);
      continue;
    }
    std::string_view word = line.substr(0, length);
    line.remove_prefix(length);
    if (c == '\'') {
      words.emplace_back(word.substr(1, word.size() - 2));
    } else if (c == '"') {
      auto text = take_quoted(word);
      if (!text.ok()) return bad_line(message_of(text.status()));
      words.push_back(*std::move(text));
    } else {
      words.emplace_back(word);
    }
  }
  return words;
}

absl::StatusOr<pb::Compare> parse_compare(std::string_view line) {
  size_t open = line.find('(');
  if (open == std::string_view::npos) return bad_line(cat("malformed comparison: ", line));
  Condition c = scan_condition(line.substr(0, open), line.substr(open + 1));
  if (!c.complete) {
    return bad_line(cat("malformed comparison: ", line, "; got ", c.target, "(", go_quote(c.key),
                        ") ", c.op, " ", go_quote(c.value)));
  }
  pb::Compare compare;
  compare.set_key(c.key);
  auto valid = set_target(c, line, compare);
  if (!valid.ok()) return valid.status();
  if (!*valid) return bad_line(cat("invalid txn compare request: ", line));
  auto result = compare_result(c.op);
  if (!result.ok()) return result.status();
  compare.set_result(*result);
  return compare;
}

absl::StatusOr<pb::RequestOp> parse_request(std::string_view line, std::string* warning) {
  auto words = argify(line);
  if (!words.ok()) return words.status();
  if (words->size() < 2) return bad_line(cat("invalid txn compare request: ", line));
  Verb verb = verb_of(words->front());
  FlagSet flags;
  if (verb == Verb::kPut) flags.add_all(put_flags());
  if (verb == Verb::kGet) flags.add_all(get_flags());
  if (verb == Verb::kDel) flags.add_all(del_flags());
  absl::Status parsed = flags.parse({words->begin() + 1, words->end()});
  if (verb == Verb::kNone || !parsed.ok()) {
    return bad_line(cat("invalid txn request: ", line));
  }
  return build(verb, flags, warning);
}

}  // namespace keelson::ctl
