// ctl/flags.h
//
// FlagSet: the flags of one command and what a command line made of them, with the grammar that
// etcdctl has from spf13/pflag: "--name=value", "--name value", "-n value", "-nvalue", booleans
// that take a value only after "=", flags anywhere among the arguments, "--" ends them.
//
// Why not CLI11: a key or a value is any string at all, and CLI11 gives arguments such as "[1,2]"
// and "{}" a meaning of their own (it splits or drops them), has no "value only after =" booleans
// and loses where "--" stood, which `watch key -- command` depends on.
//
// Threads: one. Lifetime: owns its strings.

#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "ctl/gotext.h"

namespace keelson::ctl {

enum class FlagType { kBool, kString, kInt64, kInt, kUint, kDuration, kStrings };

struct Flag {
  std::string name;
  char shorthand = 0;
  FlagType type = FlagType::kString;
  std::string default_value = {};  // as it would be typed
  std::string usage = {};
  bool required = false;
  std::string value = {};  // as typed; the last one wins (kStrings: joined by commas)
  bool changed = false;    // given on the command line or in the environment
};

class FlagSet {
 public:
  void add(Flag flag);
  void add_all(const std::vector<Flag>& flags);

  // Takes the flags out of `args`. The error texts are pflag's. The help flag is not an error:
  // see help_wanted().
  absl::Status parse(const std::vector<std::string>& args);

  // What remained, in order, without the "--".
  const std::vector<std::string>& arguments() const { return arguments_; }
  // How many of arguments() stood before "--"; nullopt if there was none.
  std::optional<size_t> before_dash() const { return before_dash_; }
  bool help_wanted() const { return help_wanted_; }

  // Sets a flag as the command line would; checks the value's type.
  absl::Status set(std::string_view name, std::string_view value);

  const Flag* find(std::string_view name) const;
  const Flag* find_shorthand(char letter) const;
  const std::map<std::string, Flag, std::less<>>& all() const { return flags_; }

  // REQUIRES: the flag exists and is of that type (it was declared by our own tables).
  bool boolean(std::string_view name) const;
  const std::string& text(std::string_view name) const;
  int64_t integer(std::string_view name) const;
  uint64_t natural(std::string_view name) const;  // kUint
  Nanos duration(std::string_view name) const;
  std::vector<std::string> strings(std::string_view name) const;
  bool changed(std::string_view name) const;

 private:
  const Flag& at(std::string_view name) const;
  // Both advance `i` when the value is the next argument.
  absl::Status parse_long(const std::vector<std::string>& args, size_t& i);
  absl::Status parse_short(const std::vector<std::string>& args, size_t& i);

  std::map<std::string, Flag, std::less<>> flags_;
  std::vector<std::string> arguments_;
  std::optional<size_t> before_dash_;
  bool help_wanted_ = false;
};

}  // namespace keelson::ctl
