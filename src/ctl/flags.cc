#include "ctl/flags.h"

#include "base/check.h"
#include "base/text.h"

namespace keelson::ctl {
namespace {

absl::Status check_value(FlagType type, std::string_view value) {
  switch (type) {
    case FlagType::kBool:
      return parse_bool(value).status();
    case FlagType::kInt64:
    case FlagType::kInt:
      return parse_int(value, 10).status();
    case FlagType::kUint:
      return parse_uint(value, 10).status();
    case FlagType::kDuration:
      return parse_duration(value).status();
    case FlagType::kString:
    case FlagType::kStrings:
      return absl::OkStatus();
  }
  return absl::OkStatus();
}

absl::Status bad(std::string_view text) { return absl::InvalidArgumentError(to_absl(text)); }

}  // namespace

void FlagSet::add(Flag flag) {
  flag.value = flag.default_value;
  std::string name = flag.name;
  flags_.insert_or_assign(std::move(name), std::move(flag));
}

void FlagSet::add_all(const std::vector<Flag>& flags) {
  for (const Flag& flag : flags) add(flag);
}

const Flag* FlagSet::find(std::string_view name) const {
  auto it = flags_.find(name);
  return it == flags_.end() ? nullptr : &it->second;
}

const Flag* FlagSet::find_shorthand(char letter) const {
  for (const auto& [name, flag] : flags_) {
    if (flag.shorthand == letter) return &flag;
  }
  return nullptr;
}

const Flag& FlagSet::at(std::string_view name) const {
  const Flag* flag = find(name);
  CHECK(flag != nullptr);
  return *flag;
}

absl::Status FlagSet::set(std::string_view name, std::string_view value) {
  auto it = flags_.find(name);
  if (it == flags_.end()) return bad(cat("no such flag -", name));
  Flag& flag = it->second;
  if (absl::Status status = check_value(flag.type, value); !status.ok()) {
    std::string shown = flag.shorthand != 0
                            ? cat("-", std::string(1, flag.shorthand), ", --", flag.name)
                            : cat("--", flag.name);
    return bad(cat("invalid argument ", go_quote(value), " for \"", shown,
                   "\" flag: ", message_of(status)));
  }
  bool append = flag.type == FlagType::kStrings && flag.changed;
  flag.value = append ? cat(flag.value, ",", value) : std::string(value);
  flag.changed = true;
  return absl::OkStatus();
}

absl::Status FlagSet::parse_long(const std::vector<std::string>& args, size_t& i) {
  std::string_view body = std::string_view(args[i]).substr(2);
  if (body.empty() || body.front() == '-' || body.front() == '=') {
    return bad(cat("bad flag syntax: ", args[i]));
  }
  size_t equals = body.find('=');
  std::string_view name = body.substr(0, equals);
  const Flag* flag = find(name);
  if (flag == nullptr) {
    if (name == "help") return help_wanted_ = true, absl::OkStatus();
    return bad(cat("unknown flag: --", name));
  }
  if (equals != std::string_view::npos) return set(name, body.substr(equals + 1));
  if (flag->type == FlagType::kBool) return set(name, "true");
  if (i + 1 >= args.size()) return bad(cat("flag needs an argument: --", name));
  return set(name, args[++i]);
}

absl::Status FlagSet::parse_short(const std::vector<std::string>& args, size_t& i) {
  std::string_view letters = std::string_view(args[i]).substr(1);
  const std::string_view whole = letters;
  while (!letters.empty()) {
    char letter = letters.front();
    letters.remove_prefix(1);
    const Flag* flag = find_shorthand(letter);
    if (flag == nullptr) {
      if (letter == 'h') return help_wanted_ = true, absl::OkStatus();
      return bad(cat("unknown shorthand flag: '", std::string(1, letter), "' in -", whole));
    }
    if (letters.size() > 1 && letters.front() == '=') {
      return set(flag->name, letters.substr(1));
    }
    if (flag->type == FlagType::kBool) {
      if (absl::Status status = set(flag->name, "true"); !status.ok()) return status;
      continue;
    }
    if (!letters.empty()) return set(flag->name, letters);
    if (i + 1 >= args.size()) {
      return bad(cat("flag needs an argument: '", std::string(1, letter), "' in -", whole));
    }
    return set(flag->name, args[++i]);
  }
  return absl::OkStatus();
}

absl::Status FlagSet::parse(const std::vector<std::string>& args) {
  for (size_t i = 0; i < args.size(); ++i) {
    const std::string& arg = args[i];
    if (arg.size() < 2 || arg[0] != '-') {
      arguments_.push_back(arg);
      continue;
    }
    if (arg == "--") {
      before_dash_ = arguments_.size();
      arguments_.insert(arguments_.end(), args.begin() + static_cast<ptrdiff_t>(i) + 1, args.end());
      return absl::OkStatus();
    }
    absl::Status status = arg[1] == '-' ? parse_long(args, i) : parse_short(args, i);
    if (!status.ok() || help_wanted_) return status;
  }
  return absl::OkStatus();
}

bool FlagSet::boolean(std::string_view name) const {
  const Flag& flag = at(name);
  CHECK(flag.type == FlagType::kBool);
  return *parse_bool(flag.value);
}

const std::string& FlagSet::text(std::string_view name) const {
  const Flag& flag = at(name);
  CHECK(flag.type == FlagType::kString);
  return flag.value;
}

int64_t FlagSet::integer(std::string_view name) const { return *parse_int(at(name).value, 10); }

uint64_t FlagSet::natural(std::string_view name) const { return *parse_uint(at(name).value, 10); }

Nanos FlagSet::duration(std::string_view name) const { return *parse_duration(at(name).value); }

std::vector<std::string> FlagSet::strings(std::string_view name) const {
  std::vector<std::string> out;
  std::string_view rest = at(name).value;
  while (true) {
    size_t comma = rest.find(',');
    out.emplace_back(rest.substr(0, comma));
    if (comma == std::string_view::npos) return out;
    rest.remove_prefix(comma + 1);
  }
}

bool FlagSet::changed(std::string_view name) const { return at(name).changed; }

}  // namespace keelson::ctl
