#include "ctl/command.h"

#include <ostream>

#include "base/text.h"

namespace keelson::ctl {
namespace {

using Path = std::vector<const Command*>;

FlagSet flags_of(const Path& path) {
  FlagSet set;
  set.add_all(global_flags());
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

const Command* child(const Command& parent, std::string_view word) {
  const Command* match = nullptr;
  size_t matches = 0;
  for (const Command& command : parent.commands) {
    std::string name = command.name();
    if (name == word) return &command;
    if (!word.empty() && std::string_view(name).substr(0, word.size()) == word) {
      match = &command;
      ++matches;
    }
  }
  return matches == 1 ? match : nullptr;
}

// Walks down the tree, taking the command words out of `args`.
Path find_command(const Command& root, std::vector<std::string>& args) {
  Path path = {&root};
  while (!path.back()->commands.empty()) {
    size_t at = first_word(args, flags_of(path));
    if (at == std::string::npos) break;
    const Command* next = child(*path.back(), args[at]);
    if (next == nullptr) break;
    path.push_back(next);
    args.erase(args.begin() + static_cast<ptrdiff_t>(at));
  }
  return path;
}

int report(const absl::Status& status, Console& console) {
  if (!status.ok() && !is_already_reported(status)) {
    console.err << "Error: " << message_of(status) << "\n";
  }
  return exit_code_of(status);
}

int unknown_command(std::string_view word, Console& console) {
  console.err << "Error: unknown command " << go_quote(word) << " for \"" << kProgram << "\"\nRun '"
              << kProgram << " --help' for usage.\n";
  return static_cast<int>(ExitCode::kError);
}

// "help get" is "get --help".
bool asks_for_help(const Command& root, std::vector<std::string>& args) {
  size_t at = first_word(args, flags_of({&root}));
  if (at == std::string::npos || args[at] != "help") return false;
  args.erase(args.begin() + static_cast<ptrdiff_t>(at));
  return true;
}

std::vector<std::string> inherited_names(const Path& path) {
  std::vector<std::string> names;
  for (const Flag& flag : global_flags()) names.push_back(flag.name);
  for (const Command* command : path) {
    for (const Flag& flag : command->inherited_flags) {
      if (command != path.back()) names.push_back(flag.name);
    }
  }
  return names;
}

}  // namespace

int run_command_line(const Command& root, const std::vector<std::string>& line, Console& console) {
  std::vector<std::string> args = line;
  bool help = asks_for_help(root, args);
  Path path = find_command(root, args);
  FlagSet flags = flags_of(path);
  absl::Status parsed = flags.parse(args);
  if (path.size() == 1 && !flags.arguments().empty()) {
    return unknown_command(flags.arguments().front(), console);
  }
  if (!parsed.ok()) {
    console.err << "Error: " << message_of(parsed) << "\n" << usage_text(path) << "\n";
    return static_cast<int>(ExitCode::kError);
  }
  if (help || flags.help_wanted() || path.back()->run == nullptr) {
    console.out << help_text(path) << "Use \"" << kProgram
                << " options\" for a list of global command-line options (applies to all "
                   "commands).\n";
    return 0;
  }
  Invocation invocation{console, flags, inherited_names(path)};
  int code = report(path.back()->run(invocation), console);
  console.out.flush();
  return code;
}

}  // namespace keelson::ctl
