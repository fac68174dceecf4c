#include "raft/describe.h"

#include "absl/strings/str_cat.h"
#include "base/text.h"

namespace keelson::raft {
namespace {

// "[1 2 3]", in decimal.
std::string list(const std::vector<MemberId>& ids) {
  std::string text = "[";
  for (MemberId id : ids) absl::StrAppend(&text, text.size() > 1 ? " " : "", id.value);
  return text + "]";
}

std::string target(MemberId id) {
  if (id == kNobody) return "None";
  if (id == kLocalAppendThread) return "AppendThread";
  if (id == kLocalApplyThread) return "ApplyThread";
  return absl::StrCat(absl::Hex(id.value));
}

std::string conf_change_text(const Entry& entry) {
  absl::StatusOr<ConfChangeV2> change = conf_change_of(entry);
  return change.ok() ? to_string(change->changes) : std::string(message_of(change.status()));
}

std::string entries_text(const std::string& indent, const Entries& entries,
                         const EntryFormatter& format) {
  if (entries.empty()) return "";
  if (entries.size() == 1) return cat(" Entries:[", describe(entries[0], format), "]");
  std::string text = " Entries:[";
  for (const Entry& entry : entries) {
    absl::StrAppend(&text, "\n", indent, "  ", describe(entry, format));
  }
  return cat(text, "\n", indent, "]");
}

std::string indented(const std::string& indent, const Message& m, const EntryFormatter& format) {
  std::string text = cat(indent, target(m.from), "->", target(m.to), " ", name_of(m.type),
                         " Term:", m.term.value, " Log:", m.log_term.value, "/", m.index.value);
  if (m.reject) absl::StrAppend(&text, " Rejected (Hint: ", m.reject_hint.value, ")");
  if (m.commit != Index(0)) absl::StrAppend(&text, " Commit:", m.commit.value);
  if (m.vote != kNobody) absl::StrAppend(&text, " Vote:", m.vote.value);
  text += entries_text(indent, m.entries, format);
  if (!is_empty(m.snapshot)) {
    absl::StrAppend(&text, "\n", indent, "  Snapshot: ", describe(*m.snapshot));
  }
  if (m.responses.empty()) return text;
  text += " Responses:[";
  for (const Message& response : m.responses) {
    absl::StrAppend(&text, "\n", indented(indent + "  ", response, format));
  }
  return cat(text, "\n", indent, "]");
}

std::string read_states_text(const std::vector<ReadState>& states) {
  std::string text = "[";
  for (const ReadState& state : states) {
    if (text.size() > 1) text += " ";
    absl::StrAppend(&text, "{", state.index.value, " [");
    std::string_view space = "";
    for (unsigned char byte : state.request_ctx.view()) {
      text += cat(space, static_cast<int>(byte));
      space = " ";
    }
    text += "]}";
  }
  return text + "]";
}

}  // namespace

std::string describe(const HardState& state) {
  std::string text = absl::StrCat("Term:", state.term.value);
  if (state.vote != kNobody) absl::StrAppend(&text, " Vote:", state.vote.value);
  absl::StrAppend(&text, " Commit:", state.commit.value);
  return text;
}

std::string describe(const SoftState& state) {
  return cat("Lead:", state.lead.value, " State:", name_of(state.state));
}

std::string describe(const ConfState& state) {
  return cat("Voters:", list(state.voters), " VotersOutgoing:", list(state.voters_outgoing),
             " Learners:", list(state.learners), " LearnersNext:", list(state.learners_next),
             " AutoLeave:", state.auto_leave ? "true" : "false");
}

std::string describe(const Snapshot& snapshot) {
  const SnapshotMetadata& meta = snapshot.metadata;
  return cat("Index:", meta.index.value, " Term:", meta.term.value,
             " ConfState:", describe(meta.conf_state));
}

std::string describe(const ConfChangeV2& change) {
  std::string text = cat("transition:", name_of(change.transition));
  for (const ConfChangeSingle& single : change.changes) {
    text += cat(" changes:{type:", name_of(single.type), " node_id:", single.node_id.value, "}");
  }
  if (!change.context.empty()) text += " context:" + quoted(change.context);
  return text;
}

std::string describe(const Entry& entry, const EntryFormatter& format) {
  std::string data;
  if (is_conf_change(entry.type)) {
    data = conf_change_text(entry);
  } else if (entry.type == EntryType::kNormal) {
    data = format ? format(entry.data.view()) : quoted(entry.data.view());
  }
  return cat(entry.term.value, "/", entry.index.value, " ", name_of(entry.type),
             data.empty() ? "" : " ", data);
}

std::string describe(std::span<const Entry> entries, const EntryFormatter& format) {
  std::string text;
  for (const Entry& entry : entries) text += describe(entry, format) + "\n";
  return text;
}

std::string describe(const Message& message, const EntryFormatter& format) {
  return indented("", message, format);
}

std::string describe(const Ready& ready, const EntryFormatter& format) {
  std::string text;
  if (ready.soft_state) text += describe(*ready.soft_state) + "\n";
  if (!ready.hard_state.empty()) text += "HardState " + describe(ready.hard_state) + "\n";
  if (!ready.read_states.empty()) {
    text += "ReadStates " + read_states_text(ready.read_states) + "\n";
  }
  if (!ready.entries.empty()) text += "Entries:\n" + describe(ready.entries, format);
  if (!is_empty(ready.snapshot)) text += "Snapshot " + describe(*ready.snapshot) + "\n";
  if (!ready.committed_entries.empty()) {
    text += "CommittedEntries:\n" + describe(ready.committed_entries, format);
  }
  if (!ready.messages.empty()) {
    text += "Messages:\n";
    for (const Message& message : ready.messages) text += describe(message, format) + "\n";
  }
  if (text.empty()) return "<empty Ready>";
  return cat("Ready MustSync=", ready.must_sync ? "true" : "false", ":\n", text);
}

}  // namespace keelson::raft
