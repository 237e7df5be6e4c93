-- Parts of the plugin by themselves: reads cases as JSON from a file, writes what each part made of them as one line.
-- Run by test_neovim_parts.py as `nvim -l parts.lua FILE`.

local cases = vim.json.decode(table.concat(vim.fn.readfile(arg[1]), '\n'))
local made = {}

---@param file string
---@return string? # What is wrong with it.
local function syntax(file)
  local _, problem = loadfile(file)
  return problem
end

made.syntax = vim.tbl_map(function(file)
  return syntax(file) or vim.NIL
end, cases.files or {})

local patch = require('beast.patch')
made.patched = vim.tbl_map(function(case)
  return patch.apply(case.lines, case.diff) or vim.NIL
end, cases.patches or {})

local range = require('beast.range')
made.positions = vim.tbl_map(function(case)
  local bufnr = vim.api.nvim_create_buf(false, true)
  vim.api.nvim_buf_set_lines(bufnr, 0, -1, false, case.lines)
  local place = { line = case.line, byte = case.byte }
  local found = {}
  for _, encoding in ipairs({ 'utf-8', 'utf-16', 'utf-32' }) do
    found[encoding] = range.protocol(bufnr, { start = place, finish = place }, encoding).start
  end
  return found
end, cases.positions or {})

made.selections = vim.tbl_map(function(case)
  vim.cmd.enew({ bang = true })
  vim.api.nvim_buf_set_lines(0, 0, -1, false, case.lines)
  local first, last = case.first, case.last
  vim.api.nvim_win_set_cursor(0, { first[1] + 1, first[2] })
  vim.cmd('normal! v')
  vim.api.nvim_win_set_cursor(0, { last[1] + 1, last[2] })
  vim.cmd('normal! \27')
  local found = range.of_command(0, 2, math.min(first[1], last[1]) + 1, math.max(first[1], last[1]) + 1)
  return { { found.start.line, found.start.byte }, { found.finish.line, found.finish.byte } }
end, cases.selections or {})

local blocks = require('beast.blocks')
made.blocks = vim.tbl_map(function(lines)
  return blocks.all(lines)
end, cases.blocks or {})

made.sockets = vim.tbl_map(function(environ)
  for _, name in ipairs({ 'BEAST_HOME', 'XDG_RUNTIME_DIR', 'XDG_STATE_HOME', 'HOME', 'TMPDIR' }) do
    vim.env[name] = environ[name]
  end
  return require('beast.config').socket_path()
end, cases.sockets or {})

made.options = vim.tbl_map(function(options)
  vim.g.beast = options
  return { problems = require('beast.config').problems(), held = require('beast.config').get() }
end, cases.options or {})

vim.lsp.enable = function() end -- no server is wanted here: `beast lsp` would start a daemon for it
vim.cmd.runtime('plugin/beast.lua')
made.completions = vim.tbl_map(function(line)
  return vim.fn.getcompletion(line, 'cmdline')
end, cases.completions or {})

io.stdout:write(vim.json.encode(made) .. '\n')
os.exit(0)
