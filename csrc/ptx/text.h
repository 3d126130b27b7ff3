/*
text.h - PTX text in pieces: statements, words, declarations.
*/
#pragma once

#include <string>
#include <vector>

namespace sctd::ptx {

struct Line {
    int number;
    std::string text;  // one statement without its semicolon, a label with its colon, or a brace
};

[[noreturn]] void reject(const Line& line, const std::string& what);

std::string trimmed(const std::string& s);
std::vector<std::string> words(const std::string& s);
// At a character, but not within brackets or braces.
std::vector<std::string> split(const std::string& s, char at);

// Statements without comments, debug lines and pragmas; a brace that opens or closes a block is one by itself.
std::vector<Line> statements(const std::string& text);

// 0: a predicate's.
int bytes_of_type(const Line& line, const std::string& type);

// An array or a variable that is declared: alignment, bytes, name; -1 bytes where the text leaves them open.
struct Declared {
    int align = 1, bytes = 0;
    std::string name;
};

Declared declared(const Line& line, const std::string& text);

}  // namespace sctd::ptx
