#include "ctl/command.h"

#include <algorithm>
#include <ostream>

#include "base/text.h"

namespace keelson::ctl {
namespace {

using Path = std::vector<const Command*>;

FlagSet flags_of(const Program& program, const Path& path) {
  FlagSet set;
  set.add_all(program.global_flags);
  for (const Command* command : path) set.add_all(command->inherited_flags);
  set.add_all(path.back()->flags);
  return set;
}

// The index of the first argument that is neither a flag nor a flag's value, or npos.
size_t first_word(const std::vector<std::string>& args, const FlagSet& known) {
  for (size_t i = 0; i < args.size(); ++i) {
    const std::string& arg = args[i];
    if (arg == "--") return std::string::npos;
    if (arg.size() < 2 || arg[0] != '-') return i;
    if (arg.find('=') != std::string::npos) continue;
    const Flag* flag = nullptr;
    if (arg[1] == '-') {
      flag = known.find(std::string_view(arg).substr(2));
      if (arg == "--help") continue;
    } else {
      flag = known.find_shorthand(arg[1]);
      if (arg.size() > 2 || arg == "-h") continue;  // "-wjson"
    }
    if (flag == nullptr || flag->type != FlagType::kBool) ++i;  // its value follows
  }
  return std::string::npos;
}

const Command* child(const Program& program, const Command& parent, std::string_view word) {
  const bool abbreviates = program.style != HelpStyle::kEtcd;
  const Command* match = nullptr;
  size_t matches = 0;
  for (const Command& command : parent.commands) {
    std::string name = command.name();
    if (name == word) return &command;
    if (abbreviates && !word.empty() && std::string_view(name).starts_with(word)) {
      match = &command;
      ++matches;
    }
  }
  return matches == 1 ? match : nullptr;
}

// Walks down the tree, taking the command words out of `args`.
Path find_command(const Program& program, std::vector<std::string>& args) {
  Path path = {&program.root};
  while (!path.back()->commands.empty()) {
    size_t at = first_word(args, flags_of(program, path));
    if (at == std::string::npos) break;
    const Command* next = child(program, *path.back(), args[at]);
    if (next == nullptr) break;
    path.push_back(next);
    args.erase(args.begin() + static_cast<ptrdiff_t>(at));
  }
  return path;
}

int report(const absl::Status& status, Console& console) {
  if (!status.ok() && !is_already_reported(status)) {
    // In one piece: the log writes to the same place from other threads.
    console.err << cat("Error: ", message_of(status), "\n");
  }
  return exit_code_of(status);
}

// A command line that cannot be understood; `more` follows what is wrong with it.
int misused(const Program& program, std::string_view what, std::string_view more,
            Console& console) {
  const std::string error = cat("Error: ", what, "\n");
  console.err << cat(error, more, program.style == HelpStyle::kEtcdutl ? error : "");
  return static_cast<int>(ExitCode::kError);
}

// "help get" is "get --help".
bool asks_for_help(const Program& program, std::vector<std::string>& args) {
  size_t at = first_word(args, flags_of(program, {&program.root}));
  if (at == std::string::npos || args[at] != "help") return false;
  args.erase(args.begin() + static_cast<ptrdiff_t>(at));
  return true;
}

std::vector<std::string> inherited_names(const Program& program, const Path& path) {
  std::vector<std::string> names;
  for (const Flag& flag : program.global_flags) names.push_back(flag.name);
  for (const Command* command : path) {
    for (const Flag& flag : command->inherited_flags) {
      if (command != path.back()) names.push_back(flag.name);
    }
  }
  return names;
}

// Those that are required and were not given, in cobra's words; empty: all were.
std::string lacking(const Command& command, const FlagSet& flags) {
  std::vector<std::string> names;
  for (const Flag& flag : command.flags) {
    if (flag.required && !flags.changed(flag.name)) names.push_back(flag.name);
  }
  if (names.empty()) return "";
  std::sort(names.begin(), names.end());
  return cat("required flag(s) \"", join(names, "\", \""), "\" not set");
}

}  // namespace

int run_command_line(const Program& program, const std::vector<std::string>& line,
                     Console& console) {
  std::vector<std::string> args = line;
  bool help = asks_for_help(program, args);
  Path path = find_command(program, args);
  FlagSet flags = flags_of(program, path);
  absl::Status parsed = flags.parse(args);
  if (path.size() == 1 && !flags.arguments().empty()) {
    return misused(
        program,
        cat("unknown command ", go_quote(flags.arguments().front()), " for \"", program.name, "\""),
        cat("Run '", program.name, " --help' for usage.\n"), console);
  }
  if (!parsed.ok()) {
    return misused(program, message_of(parsed), usage_text(program, path) + "\n", console);
  }
  if (help || flags.help_wanted() || path.back()->run == nullptr) {
    console.out << help_text(program, path);
    return 0;
  }
  if (const std::string why = lacking(*path.back(), flags); !why.empty()) {
    return misused(program, why, usage_text(program, path) + "\n", console);
  }
  Invocation invocation{console, flags, inherited_names(program, path)};
  int code = report(path.back()->run(invocation), console);
  console.out.flush();
  return code;
}

}  // namespace keelson::ctl
