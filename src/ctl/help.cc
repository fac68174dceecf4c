// Help and usage texts in cobra's layout.

#include <algorithm>

#include "base/text.h"
#include "ctl/command.h"

namespace keelson::ctl {
namespace {

constexpr size_t kNamePadding = 11;

std::string padded(std::string text, size_t width) {
  if (text.size() < width) text.append(width - text.size(), ' ');
  return text;
}

std::string path_text(const Program& program, const std::vector<const Command*>& path) {
  std::string out = program.name;
  for (size_t i = 1; i < path.size(); ++i) out += " " + path[i]->name();
  return out;
}

std::string type_name(FlagType type) {
  switch (type) {
    case FlagType::kBool:
      return "";
    case FlagType::kString:
      return " string";
    case FlagType::kInt64:
    case FlagType::kInt:
      return " int";
    case FlagType::kUint:
      return " uint";
    case FlagType::kDuration:
      return " duration";
    case FlagType::kStrings:
      return " strings";
  }
  return "";
}

std::string default_note(const Flag& flag) {
  const std::string& value = flag.default_value;
  if (value.empty() || value == "0" || value == "0s" || value == "false") return "";
  if (flag.type == FlagType::kString) return cat(" (default ", go_quote(value), ")");
  if (flag.type == FlagType::kStrings) return cat(" (default [", value, "])");
  return cat(" (default ", value, ")");
}

std::string command_lines(const Command& parent, std::string_view group) {
  std::vector<const Command*> shown;
  size_t width = kNamePadding;
  for (const Command& command : parent.commands) {
    width = std::max(width, command.name().size());
    if (command.group == group) shown.push_back(&command);
  }
  std::sort(shown.begin(), shown.end(),
            [](const Command* a, const Command* b) { return a->name() < b->name(); });
  std::string out;
  for (const Command* command : shown) {
    out += cat("\n  ", padded(command->name(), width), " ", command->brief);
  }
  return out;
}

std::string command_groups(const Command& parent) {
  std::vector<std::string> groups;
  for (const Command& command : parent.commands) {
    if (std::find(groups.begin(), groups.end(), command.group) == groups.end()) {
      groups.push_back(command.group);
    }
  }
  std::string out;
  for (const std::string& group : groups) {
    out += cat("\n\n", group.empty() ? "Available Commands:" : group, command_lines(parent, group));
  }
  return out;
}

}  // namespace

std::string flag_usages(const std::vector<Flag>& flags) {
  std::vector<Flag> sorted = flags;
  std::sort(sorted.begin(), sorted.end(),
            [](const Flag& a, const Flag& b) { return a.name < b.name; });
  std::vector<std::string> heads;
  size_t width = 0;
  for (const Flag& flag : sorted) {
    std::string letter =
        flag.shorthand == 0 ? "      " : cat("  -", std::string(1, flag.shorthand), ", ");
    heads.push_back(cat(letter, "--", flag.name, type_name(flag.type)));
    width = std::max(width, heads.back().size());
  }
  std::string out;
  for (size_t i = 0; i < sorted.size(); ++i) {
    out += cat(padded(heads[i], width + 3), sorted[i].usage, default_note(sorted[i]), "\n");
  }
  return out;
}

namespace {

// The command's own flags and --help; of a root that lists them, the global ones, too.
std::vector<Flag> own_flags(const Program& program, const std::vector<const Command*>& path) {
  const Command& command = *path.back();
  std::vector<Flag> own = command.flags;
  own.insert(own.end(), command.inherited_flags.begin(), command.inherited_flags.end());
  if (path.size() == 1) {
    own.insert(own.end(), program.global_flags.begin(), program.global_flags.end());
  }
  own.push_back({.name = "help",
                 .shorthand = 'h',
                 .type = FlagType::kBool,
                 .default_value = "false",
                 .usage = cat("help for ", path.size() == 1 ? program.name : command.name())});
  return own;
}

std::string flag_block(std::string_view title, const std::vector<Flag>& flags) {
  if (flags.empty()) return "";
  std::string out = cat("\n\n", title, "\n", flag_usages(flags));
  out.pop_back();
  return out;
}

}  // namespace

std::string usage_text(const Program& program, const std::vector<const Command*>& path) {
  const Command& command = *path.back();
  std::string out = "Usage:";
  std::string parents = path_text(program, {path.begin(), path.end() - (path.size() > 1 ? 1 : 0)});
  if (command.run != nullptr) {
    // cobra adds what says that there are flags, where the command says nothing of them itself.
    const bool said = command.use.find("[flags]") != std::string::npos || command.bare_use;
    out += cat("\n  ", parents, " ", command.use, said ? "" : " [flags]");
  }
  if (!command.commands.empty()) out += cat("\n  ", path_text(program, path), " [command]");
  out += command_groups(command);
  const bool etcdutl = program.style == HelpStyle::kEtcdutl;
  if (path.size() > 1 || etcdutl) out += flag_block("Flags:", own_flags(program, path));
  if (etcdutl) {
    if (path.size() > 1) out += flag_block("Global Flags:", program.global_flags);
  } else if (path.size() == 3) {
    out += flag_block("Global Flags:", path[1]->inherited_flags);
  }
  if (!command.commands.empty()) {
    out += cat("\n\nUse \"", path_text(program, path),
               " [command] --help\" for more information about a command.");
  }
  return out + "\n";
}

std::string help_text(const Program& program, const std::vector<const Command*>& path) {
  if (program.style == HelpStyle::kEtcdutl) return usage_text(program, path);
  const Command& command = *path.back();
  std::string about(trim_space(command.details.empty() ? command.brief : command.details));
  const std::string text = cat(about, "\n\n", usage_text(program, path));
  if (program.style == HelpStyle::kEtcd) return text;
  return cat(text, "Use \"", program.name,
             " options\" for a list of global command-line options (applies to all commands).\n");
}

}  // namespace keelson::ctl
