// The words are those of the tree of commands; where a command takes no subcommand, the shell
// offers files.

#include "ctl/completion.h"

#include <algorithm>
#include <ostream>
#include <string>
#include <vector>

#include "base/text.h"

namespace keelson::ctl {
namespace {

// What may follow one command's words.
struct Place {
  std::string path;  // "snapshot restore"; empty: the program itself
  std::vector<std::string> commands;
  std::vector<std::string> flags;
};

void collect(const Command& command, const std::string& path, const std::vector<Flag>& global,
             std::vector<Place>* places) {
  Place place{.path = path};
  for (const Flag& flag : command.flags) place.flags.push_back("--" + flag.name);
  for (const Flag& flag : global) place.flags.push_back("--" + flag.name);
  place.flags.emplace_back("--help");
  for (const Command& below : command.commands) place.commands.push_back(below.name());
  places->push_back(place);
  for (const Command& below : command.commands) {
    collect(below, path.empty() ? below.name() : cat(path, " ", below.name()), global, places);
  }
}

std::vector<Place> places_of(const Program& program) {
  std::vector<Place> places;
  collect(program.root, "", program.global_flags, &places);
  return places;
}

std::string words(const Place& place) {
  std::string out;
  for (const std::string& word : place.commands) out += cat(out.empty() ? "" : " ", word);
  for (const std::string& word : place.flags) out += cat(out.empty() ? "" : " ", word);
  return out;
}

void write_bash(const Program& program, std::ostream& out) {
  out << "# bash completion for " << program.name << "\n_" << program.name << "() {\n"
      << "  local word path=\"\" words=\"\"\n"
      << "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
      << "    case \"$word\" in -*) ;; *) path=\"${path:+$path }$word\" ;; esac\n"
      << "  done\n  case \"$path\" in\n";
  std::vector<Place> places = places_of(program);
  // The longest path first: arguments may follow it.
  std::sort(places.begin(), places.end(),
            [](const Place& a, const Place& b) { return a.path.size() > b.path.size(); });
  for (const Place& place : places) {
    const std::string pattern = place.path.empty() ? "*" : cat("\"", place.path, "\"*");
    out << "    " << pattern << ") words=\"" << words(place) << "\" ;;\n";
  }
  out << "  esac\n"
      << "  COMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n}\n"
      << "complete -o default -F _" << program.name << " " << program.name << "\n";
}

void write_zsh(const Program& program, std::ostream& out) {
  out << "#compdef " << program.name << "\nautoload -U +X bashcompinit && bashcompinit\n";
  write_bash(program, out);
}

void write_fish(const Program& program, std::ostream& out) {
  out << "# fish completion for " << program.name << "\n";
  for (const Place& place : places_of(program)) {
    std::string condition = "__fish_use_subcommand";
    if (!place.path.empty()) {
      const size_t last = place.path.rfind(' ');
      condition = cat("__fish_seen_subcommand_from ",
                      last == std::string::npos ? place.path : place.path.substr(last + 1));
    }
    for (const std::string& command : place.commands) {
      out << "complete -c " << program.name << " -n '" << condition << "' -a " << command << "\n";
    }
    for (const std::string& flag : place.flags) {
      out << "complete -c " << program.name << " -n '" << condition << "' -l " << flag.substr(2)
          << "\n";
    }
  }
}

void write_powershell(const Program& program, std::ostream& out) {
  out << "# PowerShell completion for " << program.name << "\n"
      << "Register-ArgumentCompleter -Native -CommandName " << program.name
      << " -ScriptBlock {\n  param($wordToComplete, $commandAst, $cursorPosition)\n"
      << "  $path = ($commandAst.CommandElements | Select-Object -Skip 1 | "
         "Where-Object { -not $_.ToString().StartsWith('-') }) -join ' '\n"
      << "  $words = switch -Wildcard ($path) {\n";
  std::vector<Place> places = places_of(program);
  std::sort(places.begin(), places.end(),
            [](const Place& a, const Place& b) { return a.path.size() > b.path.size(); });
  for (const Place& place : places) {
    out << "    '" << place.path << "*' { '" << words(place) << "'; break }\n";
  }
  out << "  }\n  $words -split ' ' | Where-Object { $_ -like \"$wordToComplete*\" } | "
         "ForEach-Object { [System.Management.Automation.CompletionResult]::new($_) }\n}\n";
}

absl::Status write_script(const Program& program, Invocation& in) {
  const std::vector<std::string>& args = in.args();
  if (args.size() != 1) {
    return failure(ExitCode::kError, cat("accepts 1 arg(s), received ", args.size()));
  }
  std::ostream& out = in.console.out;
  if (args[0] == "bash") {
    write_bash(program, out);
  } else if (args[0] == "zsh") {
    write_zsh(program, out);
  } else if (args[0] == "fish") {
    write_fish(program, out);
  } else if (args[0] == "powershell") {
    write_powershell(program, out);
  } else {
    return failure(ExitCode::kError, cat("invalid argument ", go_quote(args[0]), " for \"",
                                         program.name, " completion\""));
  }
  return absl::OkStatus();
}

}  // namespace

Command completion_command(Program (*program)(), std::string_view group) {
  return {.use = "completion [bash|zsh|fish|powershell]",
          .brief = "Generate completion script",
          .details = "",
          .group = std::string(group),
          .run = [program](Invocation& in) { return write_script(program(), in); },
          .bare_use = true};
}

}  // namespace keelson::ctl
