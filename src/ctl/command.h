// ctl/command.h
//
// The tree of commands: what each is called, which flags it has, what runs it; and the way from a
// command line to a running command, with cobra's rules (a unique prefix of a name is enough,
// global flags may stand anywhere, --help at every level).

#pragma once

#include <functional>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "ctl/flags.h"
#include "ctl/outcome.h"

namespace keelson::ctl {

// Where a command reads and writes; the real ones in main, strings in tests.
struct Console {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
};

// What a running command gets.
struct Invocation {
  Console& console;
  FlagSet& flags;                         // its own and the global ones
  std::vector<std::string> global_names;  // the flags that the environment may set
  const std::vector<std::string>& args() const { return flags.arguments(); }
};

struct Command {
  std::string use;    // "get [options] <key> [range_end]"; the first word is the name
  std::string brief;  // one line
  std::string details = {};
  std::string group;  // heading in the root's help
  std::vector<Flag> flags = {};
  std::vector<Flag> inherited_flags = {};  // also for the commands below
  std::vector<Command> commands = {};
  std::function<absl::Status(Invocation&)> run = nullptr;
  bool bare_use = false;  // the usage does not say "[flags]"

  std::string name() const { return use.substr(0, use.find(' ')); }
};

// How a program's help looks, after which of etcd's programs, which differ in it.
enum class HelpStyle {
  kEtcdctl,  // what the command is about, then its usage; a command lists the global flags
  // The usage alone, with the global flags; what is wrong with a command line is said before the
  // usage and again behind it.
  kEtcdutl,
  kEtcd,  // what the command is about, then its usage; names of commands are given in full
};

// A program's command line as a whole.
struct Program {
  std::string name;
  Command root;
  std::vector<Flag> global_flags;  // may stand anywhere
  HelpStyle style = HelpStyle::kEtcdctl;
};

// Runs one command line (without the program's name). Prints its own errors; returns the exit code.
int run_command_line(const Program& program, const std::vector<std::string>& args,
                     Console& console);

// Help as cobra lays it out. `path` is the command with its parents, root first.
std::string help_text(const Program& program, const std::vector<const Command*>& path);
std::string usage_text(const Program& program, const std::vector<const Command*>& path);
// One line per flag: "  -w, --write-out string   set the output format (default "simple")".
std::string flag_usages(const std::vector<Flag>& flags);

}  // namespace keelson::ctl
