-- Options of the plugin: their defaults, what the user set by vim.g.beast or setup(), and where the daemon listens.

local M = {}

---@class beast.Options
---@field enabled boolean Attach to files from the start; false: only when a :Beast command needs the server.
---@field cmd string[] The program that joins Neovim to the daemon.
---@field socket boolean|string true: connect to the daemon's socket and not through `cmd`; a string: that socket.
---@field filetypes? string[] Only these; nil: every file.
---@field root_markers (string|string[])[] What marks the folder of a project.
---@field settings table What the server reads as section `beast` (see |beast-server-settings|).
---@field preview boolean Show every edit as a diff first; `:Beast!` does so once.
---@field progress boolean Show beside the text what is going on there.
---@field chat beast.ChatOptions
---@field float beast.FloatOptions
---@field inline beast.InlineOptions
---@field code_lens boolean Show code lenses (needs `settings.codeLens.enabled` too).

---@class beast.ChatOptions
---@field position 'right'|'left'|'bottom'|'tab' Where the chat opens.
---@field size number Columns (or lines, at the bottom); below 1 a share of the editor.
---@field input_lines integer Height of the prompt.

---@class beast.FloatOptions
---@field width number Share of the editor's columns.
---@field height number Share of the editor's lines.
---@field border string|string[] As nvim_open_win() takes it.

---@class beast.InlineOptions
---@field enabled boolean Ghost text while typing (Neovim 0.12).
---@field accept string|false Key in insert mode that takes the ghost text, where it has no mapping yet.

---@type beast.Options
M.defaults = {
  enabled = true,
  cmd = { 'beast', 'lsp' },
  socket = false,
  filetypes = nil,
  root_markers = { '.beastmode.toml', '.git' },
  settings = {},
  preview = false,
  progress = true,
  chat = { position = 'right', size = 0.42, input_lines = 5 },
  float = { width = 0.7, height = 0.6, border = 'rounded' },
  inline = { enabled = true, accept = '<M-l>' },
  code_lens = false,
}

local optional = { filetypes = true }
local whole = { cmd = true, filetypes = true, root_markers = true, settings = true }
local given ---@type table? What setup() was called with.

---@param options table
---@param known table
---@param prefix string
---@return string[] # What is wrong, in sentences.
local function problems(options, known, prefix)
  local found = {}
  for name, value in pairs(options) do
    local default = known[name]
    if default == nil and not optional[name] then
      local names = vim.tbl_keys(known)
      table.sort(names)
      found[#found + 1] = ('unknown option %s%s (there are: %s)'):format(prefix, name, table.concat(names, ', '))
    elseif type(default) == 'table' and type(value) ~= 'table' then
      found[#found + 1] = ('%s%s must be a table'):format(prefix, name)
    elseif type(default) == 'table' and not whole[name] then
      vim.list_extend(found, problems(value, default, prefix .. name .. '.'))
    end
  end
  return found
end

--- What is wrong with the user's options.
---@return string[]
function M.problems()
  local set = given or vim.g.beast or {}
  if type(set) ~= 'table' then
    return { 'vim.g.beast must be a table' }
  end
  return problems(set, M.defaults, '')
end

--- The options that hold now.
---@return beast.Options
function M.get()
  local set = given or vim.g.beast
  set = type(set) == 'table' and set or {}
  local options = vim.tbl_deep_extend('force', M.defaults, set)
  for name in pairs(whole) do
    options[name] = set[name] ~= nil and set[name] or M.defaults[name]
  end
  return options
end

--- Takes the user's options; anything they do not name keeps its default.
---@param options? table
function M.set(options)
  given = vim.tbl_deep_extend('force', type(vim.g.beast) == 'table' and vim.g.beast or {}, options or {})
end

---@param name string
---@param default string
---@return string
local function xdg(name, default)
  local value = vim.env[name] or ''
  local base = vim.startswith(value, '/') and value or vim.fs.joinpath(vim.env.HOME or vim.uv.os_homedir(), default)
  return vim.fs.joinpath(base, 'beastmode')
end

--- The folder of the daemon's sockets, found as the daemon finds it.
---@return string
local function run_folder()
  if (vim.env.BEAST_HOME or '') ~= '' then
    return vim.fs.joinpath(vim.fn.fnamemodify(vim.env.BEAST_HOME, ':p'), 'run')
  end
  if vim.uv.os_uname().sysname == 'Darwin' then
    return vim.fs.joinpath(vim.env.HOME or vim.uv.os_homedir(), 'Library/Application Support/beastmode/run')
  end
  local runtime = vim.env.XDG_RUNTIME_DIR or ''
  if vim.startswith(runtime, '/') then
    return vim.fs.joinpath(runtime, 'beastmode')
  end
  return vim.fs.joinpath(xdg('XDG_STATE_HOME', '.local/state'), 'run')
end

--- The socket that the daemon speaks to editors on.
---@return string
function M.socket_path()
  local socket = M.get().socket
  if type(socket) == 'string' then
    return vim.fn.expand(socket)
  end
  local path = vim.fs.normalize(vim.fs.joinpath(run_folder(), 'lsp.sock'))
  if #path <= 100 then
    return path
  end
  local temporary = vim.uv.os_tmpdir()
  local digest = vim.fn.sha256(path):sub(1, 16) -- a kernel takes no longer path; the daemon shortens it the same way
  return ('%s/beast-%d-%s/lsp.sock'):format(temporary, vim.uv.getuid(), digest)
end

--- Whether somebody listens on the daemon's socket: one that was killed leaves it behind.
---@return boolean
function M.listens()
  local ok, channel = pcall(vim.fn.sockconnect, 'pipe', M.socket_path())
  if ok and channel > 0 then
    vim.fn.chanclose(channel)
  end
  return ok and channel > 0
end

--- How the language client reaches the server.
---@return string[]|fun(dispatchers: vim.lsp.rpc.Dispatchers): vim.lsp.rpc.PublicClient
function M.connection()
  local options = M.get()
  if not options.socket then
    return options.cmd
  end
  return function(dispatchers)
    if M.listens() then
      return vim.lsp.rpc.connect(M.socket_path())(dispatchers)
    end
    return vim.lsp.rpc.start(options.cmd, dispatchers) -- it starts the daemon
  end
end

return M
