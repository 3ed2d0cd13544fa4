import './views.css';
import './panel.css';
import './dialogs.css';
